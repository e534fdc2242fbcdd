"""Ids for trades that have none, made of their own numbers: whoever sees the trade makes the same. Pure."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from struct import Struct

_pack = Struct("<qdd?q").pack

_Key = tuple[str, int, float, float, bool]

REMEMBERED = 5_000
"""How many trades are remembered at the least, to count equal ones."""


def made_id(ts_us: int, price: float, amount: float, taker_buys: bool, ordinal: int) -> int:
    """63 bits of a hash. ``ordinal`` counts equal trades of one moment, from 0."""
    numbers = _pack(ts_us, price, amount, taker_buys, ordinal)
    return int.from_bytes(blake2b(numbers, digest_size=8).digest()) >> 1


class Ordinals:
    """Counts equal trades, in the order they come."""

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
        return made_id(ts_us, price, amount, taker_buys, ordinal)


class Repeats:
    """Tells frames that came before, among at least the last ``REMEMBERED``."""

    def __init__(self) -> None:
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()

    def has(self, frame: bytes | memoryview) -> bool:
        """Whether ``frame`` is a repetition; it is remembered either way."""
        digest = blake2b(frame, digest_size=12).digest()
        if digest in self._newer or digest in self._older:
            return True
        self._newer.add(digest)
        if len(self._newer) >= REMEMBERED:
            self._older, self._newer = self._newer, set()
        return False
