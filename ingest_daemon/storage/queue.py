"""Trades on their way from the sockets to the writer.

Back-pressure bounds the queue: at its high mark sockets stop being read, at its low mark reading resumes.
Trades that were read are kept; none are shed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection
from typing import Protocol

import msgspec

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause

HIGH_MARK = 100_000
"""In trades, about 20 MB. Each socket may add the trades of one more read beyond it."""
LOW_MARK = 50_000


class Source(Protocol):
    """A socket whose reading can be paused."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Interruption(msgspec.Struct, frozen=True):
    """From here on the stream of ``markets`` is interrupted, until their next live trade."""

    markets: tuple[Market, ...]
    cause: GapCause


class Batch(msgspec.Struct):
    """What the writer stores together, in this order."""

    interruptions: list[Interruption] = []
    trades: list[Trade] = []
    """Live ones, in the order in which they were streamed."""
    past: list[Trade] = []
    """Older trades, which an exchange sends on subscribing."""
    received_us: int = 0
    """Our clock when the last of them arrived."""

    def __bool__(self) -> bool:
        return bool(self.trades or self.past or self.interruptions)


class TradeQueue:
    """A queue of batches. ``high_mark`` and ``low_mark`` count trades."""

    def __init__(self, high_mark: int = HIGH_MARK, low_mark: int = LOW_MARK) -> None:
        self._high_mark = high_mark
        self._low_mark = low_mark
        self._earlier: deque[Batch] = deque()
        """What arrived before the last interruptions."""
        self._latest = Batch()
        self._length = 0
        self._waiting_since_s: float | None = None
        self._sources: set[Source] = set()
        self._full = False
        self._closed = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __len__(self) -> int:
        return self._length

    @property
    def full(self) -> bool:
        """Whether reading is paused now."""
        return self._full

    @property
    def delay_s(self) -> float:
        """For how long the oldest trade has been waiting, or longer; 0 when the queue is empty."""
        return 0.0 if self._waiting_since_s is None else time.monotonic() - self._waiting_since_s

    async def room(self) -> None:
        """Wait until the queue is not full."""
        await self._has_room.wait()

    def attach(self, source: Source) -> None:
        """Pause ``source`` whenever the queue is full, from now on."""
        self._sources.add(source)
        if self._full:
            source.pause()

    def detach(self, source: Source) -> None:
        """Forget ``source``, which has ended."""
        self._sources.discard(source)

    def put(self, trades: list[Trade], received_us: int) -> None:
        """Add live ``trades`` in the order in which they arrived."""
        self._latest.trades += trades
        self._added(len(trades), received_us)

    def put_past(self, trades: list[Trade], received_us: int) -> None:
        """Add older ``trades``, which an exchange sent on subscribing."""
        self._latest.past += trades
        self._added(len(trades), received_us)

    def interrupt(self, markets: Collection[Market], cause: GapCause) -> None:
        """Record that what arrives from now on does not follow what arrived before."""
        if self._latest.trades or self._latest.past:
            self._earlier.append(self._latest)
            self._latest = Batch()
        self._latest.interruptions.append(Interruption(tuple(markets), cause))
        self._changed.set()

    async def take(self, limit: int, patience_s: float | None = None) -> Batch | None:
        """Return what is queued up to the next interruption, as soon as there is anything.

        Args:
            limit: Greatest number of live trades.
            patience_s: When to stop waiting and return an empty batch; None waits without end.

        Returns:
            A batch; None when the queue is closed and empty.
        """
        while not (self._earlier or self._latest):
            if self._closed:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._changed.wait()
            except TimeoutError:
                return Batch()
        batch = self._next(limit)
        self._length -= len(batch.trades) + len(batch.past)
        if not self._length:
            self._waiting_since_s = None
        if self._full and self._length <= self._low_mark:
            self._full = False
            self._has_room.set()
            for source in self._sources:
                source.resume()
        return batch

    def close(self) -> None:
        """Accept no more trades: ``take`` returns what is left, then None."""
        self._closed = True
        self._changed.set()

    def _added(self, count: int, received_us: int) -> None:
        self._latest.received_us = received_us
        if not self._length:
            self._waiting_since_s = time.monotonic()
        self._length += count
        self._changed.set()
        if not self._full and self._length >= self._high_mark:
            self._full = True
            self._has_room.clear()
            for source in self._sources:
                source.pause()

    def _next(self, limit: int) -> Batch:
        waiting = self._earlier[0] if self._earlier else self._latest
        if len(waiting.trades) > limit:
            taken = Batch(waiting.interruptions, waiting.trades[:limit], waiting.past, waiting.received_us)
            del waiting.trades[:limit]
            waiting.interruptions, waiting.past = [], []
            return taken
        if self._earlier:
            return self._earlier.popleft()
        self._latest = Batch()
        return waiting
