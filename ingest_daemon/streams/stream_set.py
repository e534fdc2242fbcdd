"""All the sockets of one daemon: which market is on which, changed while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from itertools import groupby

from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from ingest_daemon.context import DaemonContext
from ingest_daemon.streams.stream import Stream
from sources.exchanges import EXCHANGES

RESUBSCRIBE_ONCE_IN_S = 60.0
"""A market that falls silent again sooner gets a new socket."""
ALL_SILENT_S = 5.0
"""When no market of a socket has traded for this long, the socket is at fault."""


class Streams:
    """Sockets, which run as tasks of ``tasks``."""

    def __init__(self, context: DaemonContext, tasks: asyncio.TaskGroup) -> None:
        self._context = context
        self._tasks = tasks
        self._running: dict[Stream, asyncio.Task[None]] = {}
        self._by_market: dict[Market, Stream] = {}
        self._resubscribed_at: dict[Market, float] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def markets(self) -> set[Market]:
        """All that are streamed."""
        return set(self._by_market)

    def add(self, markets: Collection[Market]) -> None:
        """Stream ``markets``, on sockets with room or on new ones."""
        for name, group in groupby(sorted(set(markets) - self._by_market.keys()), key=lambda m: m.exchange):
            waiting = list(group)
            while waiting:
                stream = self._with_room(name)
                placed, waiting = waiting[: stream.room], waiting[stream.room :]
                stream.add(placed)
                self._by_market |= dict.fromkeys(placed, stream)

    async def remove(self, markets: Collection[Market]) -> None:
        """Stop streaming ``markets``; a socket without markets is closed."""
        for market in markets:
            if (stream := self._by_market.pop(market, None)) is not None:
                stream.remove([market])
        empty = [task for stream, task in self._running.items() if not stream.markets]
        self._running = {stream: task for stream, task in self._running.items() if stream.markets}
        await _cancelled(empty)

    def subscribed_since(self, market: Market) -> float | None:
        """When its open socket subscribed to ``market``, by the loop's clock; None when it has not."""
        stream = self._by_market.get(market)
        return None if stream is None else stream.subscribed_since(market)

    def revive(self, market: Market) -> None:
        """Subscribe again to a market that trades but brings nothing, or reconnect if that did not help."""
        stream = self._by_market.get(market)
        if stream is None:
            return
        now = time.monotonic()
        latest = max(self._context.continuity.last_trade_s(other) for other in stream.markets)
        again = now - self._resubscribed_at.get(market, float("-inf")) < RESUBSCRIBE_ONCE_IN_S
        if again or now - latest > ALL_SILENT_S:
            stream.reconnect(GapCause.SILENT)
        else:
            self._resubscribed_at[market] = now
            stream.resubscribe(market, GapCause.SILENT)

    def reconnect(self, cause: GapCause) -> None:
        """Replace every socket."""
        for stream in self._running:
            stream.reconnect(cause)

    async def stop(self) -> None:
        """Close every socket; what they brought is in the queue."""
        self._context.queue.interrupt(self._by_market, GapCause.STOPPED)
        await _cancelled(list(self._running.values()))
        self._running.clear()
        self._by_market.clear()

    def _with_room(self, exchange: str) -> Stream:
        for stream in self._running:
            if stream.exchange.name == exchange and stream.room > 0:
                return stream
        stream = Stream(self._context, EXCHANGES[exchange])
        self._running[stream] = self._tasks.create_task(stream.run(), name=f"stream {exchange}")
        return stream


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
