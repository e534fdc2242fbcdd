"""Trades on their way from the sockets to the writer.

The queue is bounded by back-pressure: from its high mark on, sockets are not read until it is down
to its low mark. What was read is kept; nothing is shed.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from coinwatch.records import Trade

HIGH_MARK = 100_000
"""Trades, about 20 MB. Each socket may bring one more read beyond it."""
LOW_MARK = 50_000


class Source(Protocol):
    """A socket that can be held back."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Batch(msgspec.Struct, frozen=True):
    """What the writer stores in one go."""

    trades: list[Trade]
    received_us: int
    """Our clock when the last of them came."""


class TradeQueue:
    def __init__(self, high_mark: int = HIGH_MARK, low_mark: int = LOW_MARK) -> None:
        self._high_mark = high_mark
        self._low_mark = low_mark
        self._trades: list[Trade] = []
        self._received_us = 0
        self._sources: set[Source] = set()
        self._full = False
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._trades)

    @property
    def full(self) -> bool:
        """Whether sockets are held back now."""
        return self._full

    def attach(self, source: Source) -> None:
        """Hold ``source`` back whenever the queue is full, from now on."""
        self._sources.add(source)
        if self._full:
            source.pause()

    def detach(self, source: Source) -> None:
        self._sources.discard(source)

    def put(self, trades: list[Trade], received_us: int) -> None:
        """Add ``trades``, in the order they came."""
        self._trades += trades
        self._received_us = received_us
        self._changed.set()
        if not self._full and len(self._trades) >= self._high_mark:
            self._full = True
            for source in self._sources:
                source.pause()

    async def take(self, limit: int) -> Batch | None:
        """All that waits, up to ``limit`` trades, as soon as there is one. None: closed and empty."""
        while not self._trades:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        if len(self._trades) <= limit:
            taken, self._trades = self._trades, []
        else:
            taken = self._trades[:limit]
            del self._trades[:limit]
        if self._full and len(self._trades) <= self._low_mark:
            self._full = False
            for source in self._sources:
                source.resume()
        return Batch(taken, self._received_us)

    def close(self) -> None:
        """Nothing more will come: ``take`` gives what is left, then None."""
        self._closed = True
        self._changed.set()
