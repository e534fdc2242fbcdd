"""All the sockets of one daemon: which market is on which, added and taken away while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from itertools import groupby

from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon.metrics import Metrics
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams.status_board import StreamStatusBoard
from ingest_daemon.streams.stream import Stream
from sources.exchanges import EXCHANGES

SILENT = "silent"
"""The cause of an interruption, in the ledger: the socket lived, but brought no data."""
STOPPED = "stopped"
RESUBSCRIBE_ONCE_IN_S = 60.0
"""A market that falls silent again sooner gets a new socket."""
ALL_SILENT_S = 5.0
"""When no market of a socket has brought a trade for so long, it is the socket."""


class Streams:
    """Sockets run as tasks of ``tasks``."""

    def __init__(
        self,
        settings: Settings,
        queue: TradeQueue,
        board: StreamStatusBoard,
        metrics: Metrics,
        continuity: Continuity,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._board = board
        self._metrics = metrics
        self._continuity = continuity
        self._tasks = tasks
        self._running: dict[Stream, asyncio.Task[None]] = {}
        self._of: dict[Market, Stream] = {}
        self._resubscribed_at: dict[Market, float] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def markets(self) -> set[Market]:
        """All that is streamed."""
        return set(self._of)

    def add(self, markets: Collection[Market]) -> None:
        """Stream these, on sockets with room or on new ones."""
        for name, group in groupby(sorted(set(markets) - self._of.keys()), key=lambda m: m.exchange):
            waiting = list(group)
            while waiting:
                stream = self._with_room(name)
                placed, waiting = waiting[: stream.room], waiting[stream.room :]
                stream.add(placed)
                self._of |= dict.fromkeys(placed, stream)

    async def remove(self, markets: Collection[Market]) -> None:
        """Stream these no longer; a socket without markets is closed."""
        for market in markets:
            if (stream := self._of.pop(market, None)) is not None:
                stream.remove([market])
        empty = [task for stream, task in self._running.items() if not stream.markets]
        self._running = {stream: task for stream, task in self._running.items() if stream.markets}
        await _cancelled(empty)

    def subscribed_since(self, market: Market) -> float | None:
        """Since when, by the loop's clock, its socket was asked for it and is heard; None: it is not."""
        stream = self._of.get(market)
        return None if stream is None else stream.subscribed_since(market)

    def revive(self, market: Market) -> None:
        """It trades, but brings nothing: ask for it again, or leave the socket where that is no cure."""
        stream = self._of.get(market)
        if stream is None:
            return
        now = time.monotonic()
        latest = max(self._continuity.heard_s(other) for other in stream.markets)
        again = now - self._resubscribed_at.get(market, float("-inf")) < RESUBSCRIBE_ONCE_IN_S
        if again or now - latest > ALL_SILENT_S:
            stream.reconnect(SILENT)
        else:
            self._resubscribed_at[market] = now
            stream.resubscribe(market, SILENT)

    def reconnect(self, cause: str) -> None:
        """Leave every socket and make new ones."""
        for stream in self._running:
            stream.reconnect(cause)

    async def stop(self) -> None:
        """Close every socket; what they brought is in the queue."""
        self._queue.interrupt(self._of, STOPPED)
        await _cancelled(list(self._running.values()))
        self._running.clear()
        self._of.clear()

    def _with_room(self, exchange: str) -> Stream:
        for stream in self._running:
            if stream.exchange.name == exchange and stream.room > 0:
                return stream
        root = self._settings.ws_url(exchange)
        stream = Stream(EXCHANGES[exchange], root, self._queue, self._board, self._metrics)
        self._running[stream] = self._tasks.create_task(stream.run(), name=f"stream {exchange}")
        return stream


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
