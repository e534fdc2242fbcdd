"""Ids for trades without any, derived from their numbers: every process derives the same id.

Pure: no I/O.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from struct import Struct

_pack = Struct("<qdd?q").pack

_Key = tuple[str, int, float, float, bool]

REMEMBERED = 5_000
"""How many recent trades are remembered at least, to count equal ones."""


def synthetic_id(ts_us: int, price: float, amount: float, taker_buys: bool, ordinal: int) -> int:
    """Derive an id of 63 bits. ``ordinal`` counts equal trades at one time, from 0."""
    numbers = _pack(ts_us, price, amount, taker_buys, ordinal)
    return int.from_bytes(blake2b(numbers, digest_size=8).digest()) >> 1


class SyntheticIds:
    """Assigns ids to trades in the order they arrive, and counts equal trades."""

    def __init__(self) -> None:
        self._newer: Counter[_Key] = Counter()
        self._older: Counter[_Key] = Counter()

    def id_of(self, native: str, ts_us: int, price: float, amount: float, taker_buys: bool) -> int:
        """The id of the next trade with these numbers."""
        key = (native, ts_us, price, amount, taker_buys)
        ordinal = self._newer[key] + self._older[key]
        self._newer[key] += 1
        if len(self._newer) >= REMEMBERED:
            self._older, self._newer = self._newer, Counter()
        return synthetic_id(ts_us, price, amount, taker_buys, ordinal)


class RecentFrames:
    """Detects repeated frames, among at least the last ``REMEMBERED``."""

    def __init__(self) -> None:
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()

    def has(self, frame: bytes | memoryview) -> bool:
        """Whether ``frame`` repeats an earlier one; it is remembered in any case."""
        digest = blake2b(frame, digest_size=12).digest()
        if digest in self._newer or digest in self._older:
            return True
        self._newer.add(digest)
        if len(self._newer) >= REMEMBERED:
            self._older, self._newer = self._newer, set()
        return False
