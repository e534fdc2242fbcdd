"""The markets of one socket: connect, subscribe, watch, replace the socket, and reconnect."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection
from contextlib import suppress

import structlog
from picows import WSError

from coinwatch.health.episodes import Episode
from coinwatch.outside.text import one_line
from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from ingest_daemon.backoff import backoff
from ingest_daemon.context import DaemonContext
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.streams.connection import Connection
from ingest_daemon.streams.reader import FrameReader
from sources.exchanges.base import Exchange, Rejected
from warehouse.ops.health import StreamState

REPLACE_WITHIN_S = 30.0
"""How long a new socket may take to deliver before the attempt to replace the old one is given up."""
ROTATE_EARLY = 0.96
"""A socket that lives 24 hours is replaced after 23, and some minutes by chance."""
RETURNED_AFTER_S = 5.0
"""How long a new connection has to last before it is logged as back."""
RETRY_REFUSED_S = 900.0
"""After this long a market that its exchange refused is subscribed to again."""
LONGEST_REASON = 300

log = structlog.get_logger(__name__)


class Stream:
    """The trades of some markets, all of one exchange, over one socket at a time.

    While a socket is replaced on purpose two deliver, and what both bring is stored once.
    """

    def __init__(self, context: DaemonContext, exchange: Exchange) -> None:
        root = context.settings.ws_url(exchange.name)
        self.exchange = exchange.feed(root)
        self.markets: set[Market] = set()
        self._by_native: dict[str, Market] = {}
        self._context = context
        self._queue = context.queue
        self._status_board = context.status_board
        self._metrics = context.metrics
        self._url = self.exchange.stream_url(root)
        self._bad_frames = LogThrottle()
        self._interruptions = Episode(settled_s=0.0)
        self._refusals = LogThrottle()
        self._refused: dict[Market, float] = {}
        self._logged_refusals: set[Market] = set()
        """Markets refused at least once, which is logged then and not again."""
        self._current: Connection | None = None
        self._rotate = asyncio.Event()
        self._markets_changed = asyncio.Event()
        self._end_reason: str | None = None
        self._log = log.bind(exchange=exchange.name, url=self._url)

    @property
    def room(self) -> int:
        """How many more markets fit."""
        return self.exchange.markets_per_socket - len(self.markets)

    def subscribed_since(self, market: Market) -> float | None:
        """When the open socket subscribed to ``market``, by the loop's clock.

        None while it has not, has brought no frame yet, or the exchange refuses the market.
        """
        connection = self._current
        if connection is None or connection.ended.done() or not connection.has_received:
            return None
        if market in self._refused:
            return None
        return connection.subscribed_at.get(market)

    def add(self, markets: Collection[Market]) -> None:
        """Stream ``markets``, too."""
        self.markets |= set(markets)
        self._by_native |= self.exchange.by_native(markets)
        self._markets_changed.set()

    def remove(self, markets: Collection[Market]) -> None:
        """Stop streaming ``markets``."""
        self.markets -= set(markets)
        for market in markets:
            self._refused.pop(market, None)
            self._by_native.pop(self.exchange.native(market), None)
        self._markets_changed.set()

    def resubscribe(self, market: Market, cause: GapCause) -> None:
        """Subscribe again to a market whose data has stopped although the socket is open."""
        if self._current is not None and market in self._current.subscribed_at:
            self._interrupt([market], cause)
            del self._current.subscribed_at[market]
            self._markets_changed.set()

    def reconnect(self, cause: GapCause) -> None:
        """Drop the socket and open a new one."""
        self._end_reason = cause.value
        if self._current is not None:
            self._interrupt(self.markets, cause)
            self._current.abort()

    async def run(self) -> None:
        """Stream until cancelled."""
        waits = backoff()
        wait_s = next(waits)
        while True:
            await asyncio.sleep(wait_s)
            await self._queue.room()  # a socket that may not be read would only be closed again
            while not (wanted := self._wanted()):
                await self._change()
            self._status_board.set_state(wanted, StreamState.CONNECTING)
            started = time.monotonic()
            self._end_reason = None
            try:
                reason = await self._connect_and_watch()
            except (WSError, OSError, TimeoutError) as error:
                reason = _describe(error)
            except Exception as error:  # a fault of ours in reading a frame: the other streams keep running
                self._log.exception("reading a frame failed")
                reason = _describe(error)
            reason = self._end_reason or reason
            wait_s = waits.send(time.monotonic() - started)
            self._status_board.lost(self._wanted(), reason)
            self._metrics.reconnects.labels(self.exchange.name).inc()
            if self._interruptions.failed(reason):
                self._log.warning("stream ended", reason=reason, again_in_s=round(wait_s, 2))

    def _wanted(self) -> set[Market]:
        """The markets to subscribe to: those not refused lately."""
        return self.markets - self._refused.keys()

    def _retry_refused(self) -> None:
        """Subscribe again to what was refused long ago."""
        now = time.monotonic()
        for market in [m for m, at in self._refused.items() if now - at > RETRY_REFUSED_S]:
            del self._refused[market]
            if self._current is not None:
                self._current.subscribed_at.pop(market, None)

    async def _connect_and_watch(self) -> str:
        """Stream over one connection and its replacements; return why the last one ended."""
        connection = await self._open()
        subscribing = asyncio.create_task(self._keep_subscribed())
        settling = asyncio.create_task(self._log_return())
        try:
            self._current = connection
            if not self._interruptions:
                self._log.info("connected", markets=len(connection.subscribed_at))
            while True:
                reason = await self._watch(connection)
                if reason is not None:
                    return reason
                self._rotate.clear()
                connection = await self._replaced(connection)
        finally:
            subscribing.cancel()
            settling.cancel()
            await asyncio.wait({subscribing, settling})
            current, self._current = self._current, None
            if current is not None:
                self._interrupt(self.markets, GapCause.DISCONNECTED)
                await current.close()
            if connection is not current:
                await connection.close()

    async def _log_return(self) -> None:
        """Log that the stream is back, when it has lasted long enough not to be lost at once."""
        if not self._interruptions:
            return
        await asyncio.sleep(RETURNED_AFTER_S)
        while not (self._current is not None and self._current.has_received):  # noqa: ASYNC110  # a frame
            await asyncio.sleep(RETURNED_AFTER_S)
        if (recovery := self._interruptions.worked()) is not None:
            self._log.info("stream is back", unstable_s=recovery.lasted_s, attempts=recovery.failures)

    async def _watch(self, connection: Connection) -> str | None:
        """Wait until the connection ends and return why; return None when it is time to replace it."""
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
        """Open a connection and subscribe to every wanted market."""
        wanted = self._wanted()
        reader = FrameReader(
            self._context,
            self.exchange,
            wanted,
            self._bad_frames,
            on_rejected=self._on_rejected,
            on_shutdown=self._rotate.set,
            on_first_frame=lambda: self._status_board.set_state(self._wanted(), StreamState.LIVE),
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
        """Open a connection and wait until it delivers, while ``old`` still does; ``old`` if none does."""
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
        """Subscribe and unsubscribe whenever the wanted markets change."""
        while True:
            connection, wanted = self._current, self._wanted()
            if connection is not None:
                subscribed = connection.subscribed_at.keys()
                surplus, new = subscribed - wanted - self._refused.keys(), wanted - subscribed
                if surplus or new:
                    connection.read(wanted)
                if surplus:
                    await connection.unsubscribe(surplus)
                if new:
                    await connection.subscribe(new)
                    self._status_board.set_state(new, StreamState.LIVE)
            await self._change()

    async def _change(self) -> None:
        """Wait until the wanted markets may have changed."""
        with suppress(TimeoutError):  # a refused market may be due for a retry
            async with asyncio.timeout(RETRY_REFUSED_S / 10):
                await self._markets_changed.wait()
        self._markets_changed.clear()
        self._retry_refused()

    def _on_end(self, connection: Connection) -> None:
        """A socket was lost: what arrives from now on does not follow what it brought."""
        if connection is self._current:
            self._interrupt(self.markets, GapCause.DISCONNECTED)

    def _interrupt(self, markets: Collection[Market], cause: GapCause) -> None:
        if markets:
            self._queue.interrupt(markets, cause)

    def _on_rejected(self, rejected: Rejected) -> None:
        """Mark a refused market, log it once and leave it out; the others continue."""
        self._metrics.rejected.labels(self.exchange.name).inc()
        market, reason = self._by_native.get(rejected.native or ""), one_line(rejected.reason, LONGEST_REASON)
        if market is None:
            if (suppressed := self._refusals.suppressed()) is not None:
                self._log.error(
                    "the exchange refused a request",
                    market=rejected.native and one_line(rejected.native, LONGEST_REASON),
                    reason=reason,
                    suppressed=suppressed,
                )
            return
        if market not in self._logged_refusals:
            self._log.error("the exchange refused a market", market=str(market), reason=reason)
        self._logged_refusals.add(market)
        self._refused[market] = time.monotonic()
        self._status_board.set_state([market], StreamState.DOWN, f"refused: {reason}")


def _describe(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer in time"
    return str(error) or type(error).__name__
