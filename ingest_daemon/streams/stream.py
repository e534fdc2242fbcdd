"""One socket's worth of markets: connect, subscribe, watch, rotate, and connect again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection
from contextlib import suppress

import structlog
from picows import WSError

from coinwatch.records import Market
from ingest_daemon.backoff import backoff
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.metrics import Metrics
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams.connection import Connection
from ingest_daemon.streams.reader import FrameReader
from ingest_daemon.streams.status_board import StreamStatusBoard
from sources.exchanges.base import Exchange, Rejected
from warehouse.ops.health import StreamState

DISCONNECTED = "disconnected"
"""The cause of an interruption, in the ledger."""
REPLACE_WITHIN_S = 30.0
"""How long a new socket may take to deliver before the old one is let go."""
ROTATE_EARLY = 0.96
"""A socket that lives 24 hours is replaced after 23, and some minutes by chance."""
RETRY_REFUSED_S = 900.0
"""A market its exchange refused is asked for again after so long."""

log = structlog.get_logger(__name__)


class Stream:
    """The trades of some markets, all of one exchange, over one socket at a time.

    While a socket is replaced on purpose two deliver, and what both bring is stored once.
    """

    def __init__(
        self, exchange: Exchange, root: str, queue: TradeQueue, board: StreamStatusBoard, metrics: Metrics
    ) -> None:
        self.exchange = exchange
        self.markets: set[Market] = set()
        self._url = exchange.stream_url(root)
        self._queue = queue
        self._board = board
        self._metrics = metrics
        self._bad_frames = LogThrottle()
        self._endings = LogThrottle()
        self._refused: dict[Market, float] = {}
        self._told: set[Market] = set()
        """Refused at least once, and logged then."""
        self._current: Connection | None = None
        self._rotate = asyncio.Event()
        self._ask = asyncio.Event()
        self._end_reason: str | None = None
        self._log = log.bind(exchange=exchange.name, url=self._url)

    @property
    def room(self) -> int:
        """How many more markets fit."""
        return self.exchange.markets_per_socket - len(self.markets)

    def subscribed_since(self, market: Market) -> float | None:
        """Since when, by the loop's clock, the open socket was asked for ``market`` and is heard."""
        connection = self._current
        if connection is None or connection.ended.done() or not connection.is_heard:
            return None
        if market in self._refused:
            return None
        return connection.subscribed_at.get(market)

    def add(self, markets: Collection[Market]) -> None:
        """Stream these, too."""
        self.markets |= set(markets)
        self._ask.set()

    def remove(self, markets: Collection[Market]) -> None:
        """Stream these no longer."""
        self.markets -= set(markets)
        for market in markets:
            self._refused.pop(market, None)
        self._ask.set()

    def resubscribe(self, market: Market, cause: str) -> None:
        """Its data has stopped although the socket lives: ask for it again."""
        if self._current is not None and market in self._current.subscribed_at:
            self._interrupt([market], cause)
            del self._current.subscribed_at[market]
            self._ask.set()

    def reconnect(self, cause: str) -> None:
        """Leave the socket and make a new one."""
        self._end_reason = cause
        if self._current is not None:
            self._interrupt(self.markets, cause)
            self._current.abort()

    async def run(self) -> None:
        """Stream until cancelled."""
        waits = backoff()
        wait_s = next(waits)
        last_reason = ""
        while True:
            await asyncio.sleep(wait_s)
            while not (wanted := self._wanted()):
                await self._asked()
            self._board.set_state(wanted, StreamState.CONNECTING)
            started = time.monotonic()
            self._end_reason = None
            try:
                reason = await self._connect_and_watch()
            except (WSError, OSError, TimeoutError) as error:
                reason = _describe(error)
            except Exception as error:  # a fault of ours in reading a frame: the other streams go on
                self._log.exception("reading a frame failed")
                reason = _describe(error)
            reason = self._end_reason or reason
            wait_s = waits.send(time.monotonic() - started)
            self._board.lost(self._wanted(), reason)
            self._metrics.reconnects.labels(self.exchange.name).inc()
            suppressed = self._endings.suppressed()
            if suppressed is not None or reason != last_reason:
                self._log.warning(
                    "stream ended", reason=reason, again_in_s=round(wait_s, 2), suppressed=suppressed or 0
                )
            last_reason = reason

    def _wanted(self) -> set[Market]:
        """The markets to ask for: those not refused lately."""
        return self.markets - self._refused.keys()

    def _forgive(self) -> None:
        """Ask again for what was refused long ago."""
        now = time.monotonic()
        for market in [m for m, at in self._refused.items() if now - at > RETRY_REFUSED_S]:
            del self._refused[market]
            if self._current is not None:
                self._current.subscribed_at.pop(market, None)

    async def _connect_and_watch(self) -> str:
        """Why the connection ended."""
        connection = await self._open()
        subscribing = asyncio.create_task(self._keep_subscribed())
        try:
            self._current = connection
            self._log.info("connected", markets=len(connection.subscribed_at))
            while True:
                reason = await self._watch(connection)
                if reason is not None:
                    return reason
                self._rotate.clear()
                connection = await self._replaced(connection)
        finally:
            subscribing.cancel()
            await asyncio.wait({subscribing})
            current, self._current = self._current, None
            if current is not None:
                self._interrupt(self.markets, DISCONNECTED)
                await current.close()
            if connection is not current:
                await connection.close()

    async def _watch(self, connection: Connection) -> str | None:
        """Until the connection ends, or is to be replaced: then None."""
        every_s = self.exchange.rotate_every_s
        timer: asyncio.TimerHandle | None = None
        if every_s is not None:
            in_s = every_s * (ROTATE_EARLY - 0.02 * random.random())  # noqa: S311  # spread, no secret
            timer = asyncio.get_running_loop().call_later(in_s, self._rotate.set)
        try:
            return await connection.watch(self._queue, self._rotate)
        finally:
            if timer is not None:
                timer.cancel()

    async def _open(self) -> Connection:
        """A connection that was asked for every market."""
        wanted = self._wanted()
        reader = FrameReader(
            self.exchange,
            wanted,
            self._queue,
            self._metrics,
            self._bad_frames,
            on_rejected=self._on_rejected,
            on_shutdown=self._on_shutdown,
            on_heard=lambda: self._board.set_state(self._wanted(), StreamState.LIVE),
        )
        connection = await Connection.open(self.exchange, self._url, reader)
        reader.on_end = lambda: self._on_end(connection)
        self._metrics.connections.labels(self.exchange.name).inc()
        connection.ended.add_done_callback(
            lambda _: self._metrics.connections.labels(self.exchange.name).dec()
        )
        try:
            await connection.subscribe(wanted)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _replaced(self, old: Connection) -> Connection:
        """A new connection that delivers, while the old one still did; the old one, if none can be had."""
        self._log.info("replacing the socket before the exchange closes it")
        try:
            new = await self._open()
        except (WSError, OSError, TimeoutError) as error:
            self._log.warning("the socket could not be replaced yet", reason=_describe(error))
            return old
        try:
            async with asyncio.timeout(REPLACE_WITHIN_S):
                await new.delivers()
        except TimeoutError:
            self._log.warning("the new socket brings nothing; the old one is kept")
        if not new.is_delivering or new.ended.done():
            await new.close()
            return old
        self._current = new
        await old.close()
        return new

    async def _keep_subscribed(self) -> None:
        """Ask for what is wanted and not asked for, and the other way round, whenever that changes."""
        while True:
            connection, wanted = self._current, self._wanted()
            if connection is not None:
                asked = connection.subscribed_at.keys()
                surplus, new = asked - wanted - self._refused.keys(), wanted - asked
                if surplus or new:
                    connection.read(wanted)
                if surplus:
                    await connection.unsubscribe(surplus)
                if new:
                    await connection.subscribe(new)
                    self._board.set_state(new, StreamState.LIVE)
            await self._asked()

    async def _asked(self) -> None:
        """Until the wanted markets may have changed."""
        with suppress(TimeoutError):  # a refused market may be due again
            async with asyncio.timeout(RETRY_REFUSED_S / 10):
                await self._ask.wait()
        self._ask.clear()
        self._forgive()

    def _on_end(self, connection: Connection) -> None:
        """A socket was lost: what comes from now on does not follow what it brought."""
        if connection is self._current:
            self._interrupt(self.markets, DISCONNECTED)

    def _on_shutdown(self) -> None:
        self._rotate.set()

    def _interrupt(self, markets: Collection[Market], cause: str) -> None:
        if markets:
            self._queue.interrupt(markets, cause)

    def _on_rejected(self, rejected: Rejected) -> None:
        """One market is refused: it is marked, said once and left out; the others stream on."""
        refused = [m for m in self._wanted() if self.exchange.native(m) == rejected.native]
        self._metrics.rejected.labels(self.exchange.name).inc()
        if not (refused and self._told.issuperset(refused)):
            self._log.error(
                "the exchange refused a market" if refused else "the exchange refused a request",
                market=str(refused[0]) if refused else rejected.native,
                reason=rejected.reason,
            )
        self._told |= set(refused)
        self._refused |= dict.fromkeys(refused, time.monotonic())
        self._board.set_state(refused, StreamState.DOWN, f"refused: {rejected.reason}")


def _describe(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer in time"
    return str(error) or type(error).__name__
