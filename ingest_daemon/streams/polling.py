"""Markets without a stream: their newest trades, asked for by REST every few seconds.

What falls between two answers because an exchange shows too few trades is not recovered: polled
markets are there for their prices.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable

import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import Retryable, SourceError, WarehouseError
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import MINUTE_US, SECOND_US, now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.recovery.rest_clients import Rest
from ingest_daemon.streams.status_board import StreamStatusBoard
from sources.exchanges import EXCHANGES
from warehouse.db.connect import connect
from warehouse.markets import MarketIds
from warehouse.ops.budgets import WarehouseBudget
from warehouse.ops.health import StreamState
from warehouse.ops.leases import hold

LEASE = "polling"
LEASE_S = 5.0
"""How much longer than a round the lease of the daemon that polls lasts."""
TIMEOUT_S = 10.0
RETRY_CAP_S = 300.0
KEEP_US = MINUTE_US
"""How far behind the newest trade of a market one may come and still be news."""

log = structlog.get_logger(__name__)


class News:
    """Which trades of one market's answers are new. Pure.

    An answer from a cache repeats what was seen, or is older than that: it holds no news.
    """

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._since_us: int | None = None

    def of(self, trades: Iterable[Trade], first_since_us: int) -> list[Trade]:
        """The new ones of an answer, oldest first. Of the first answer, those from ``first_since_us`` on."""
        if self._since_us is None:
            self._since_us = first_since_us
        since_us = self._since_us
        news = {t.trade_id: t for t in trades if t.ts_us >= since_us and t.trade_id not in self._seen}
        if news:
            self._seen |= {trade_id: trade.ts_us for trade_id, trade in news.items()}
            self._since_us = max(since_us, max(self._seen.values()) - KEEP_US)
            self._seen = {id_: ts_us for id_, ts_us in self._seen.items() if ts_us >= self._since_us}
        return sorted(news.values(), key=lambda trade: (trade.ts_us, trade.trade_id))


class _Polled:
    """One market between its answers."""

    def __init__(self) -> None:
        self.news = News()
        self.is_busy = False
        self.next_s = 0.0
        self._waits: Generator[float, float, None] | None = None

    def failed(self, first_s: float, at_least_s: float) -> None:
        """Ask later, and later still the next time."""
        if self._waits is None:
            self._waits = backoff(first_s=first_s, cap_s=RETRY_CAP_S)
            next(self._waits)
        self.next_s = time.monotonic() + max(self._waits.send(0.0), at_least_s)

    def answered(self) -> None:
        self._waits = None


class Poller:
    """Polls ``settings.polled_markets`` that are not streamed, in one of several daemons.

    ``holder``: this process, as it is named in leases. ``sink`` takes what is new of each answer as
    live trades; before that the market has its place in ``market_ids`` and on the ``board``.
    """

    def __init__(
        self,
        settings: Settings,
        url: sqlalchemy.URL,
        holder: str,
        market_ids: MarketIds,
        board: StreamStatusBoard,
        sink: Callable[[list[Trade]], None],
    ) -> None:
        self._settings = settings
        self._url = url
        self._holder = holder
        self._market_ids = market_ids
        self._board = board
        self._sink = sink
        self._polled = {
            market: _Polled()
            for market in settings.polled_markets
            if market.exchange in EXCHANGES and market not in settings.markets
        }
        self._failures: defaultdict[str, LogThrottle] = defaultdict(LogThrottle)

    async def run(self) -> None:
        """Poll until cancelled; return at once when there is nothing to poll.

        Failing exchanges are asked again, ever later. An outage of Postgres is waited out.
        """
        waits = backoff(cap_s=self._settings.poll_every_s)
        wait_s = next(waits)
        while self._polled:
            await asyncio.sleep(wait_s)
            started_s = time.monotonic()
            try:
                await self._poll()
            except* (psycopg.Error, WarehouseError, OSError, TimeoutError) as errors:
                self._say("Postgres", errors.exceptions[0])
            for polled in self._polled.values():
                polled.is_busy = False
            wait_s = waits.send(time.monotonic() - started_s)

    async def _poll(self) -> None:
        every_s = self._settings.poll_every_s
        async with (
            await connect(self._url, application_name="coinwatch ingest polling") as conn,
            Rest(self._settings, WarehouseBudget(conn)) as rest,
            asyncio.TaskGroup() as tasks,
        ):
            is_ours = False
            while True:
                round_s = time.monotonic()
                async with asyncio.timeout(TIMEOUT_S):
                    was_ours, is_ours = is_ours, await hold(conn, LEASE, self._holder, every_s + LEASE_S)
                    if is_ours and not was_ours:
                        await self._begin(conn)
                if is_ours:
                    for market, polled in self._polled.items():
                        if not polled.is_busy and round_s >= polled.next_s:
                            polled.is_busy = True
                            tasks.create_task(self._ask(market, polled, rest))
                await asyncio.sleep(max(0.0, round_s + every_s - time.monotonic()))

    async def _begin(self, conn: psycopg.AsyncConnection) -> None:
        ids = await self._market_ids.resolve(
            conn, {market: EXCHANGES[market.exchange].rest_native(market) for market in self._polled}
        )
        self._board.add(ids)
        log.info("polling", markets=len(ids), every_s=self._settings.poll_every_s)

    async def _ask(self, market: Market, polled: _Polled, rest: Rest) -> None:
        exchange = EXCHANGES[market.exchange]
        every_s = self._settings.poll_every_s
        try:
            http = await rest.of(exchange)
            answer = await http.get(exchange.newest_trades_requests(market)[0])
            trades = exchange.decode_trades(market, answer.body)
        except SourceError as error:
            self._board.set_state([market], StreamState.DOWN, str(error))
            self._say(exchange.name, error)
            asked_s = error.retry_after_s if isinstance(error, Retryable) else None
            polled.failed(every_s, asked_s or 0.0)
        else:
            polled.answered()
            self._board.set_state([market], StreamState.LIVE)
            first_since_us = (answer.date_us or now_us()) - round(every_s * SECOND_US)
            if news := polled.news.of(trades, first_since_us):
                self._sink(news)
        polled.is_busy = False

    def _say(self, whom: str, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if (suppressed := self._failures[whom].suppressed()) is not None:
            log.warning(
                "polling failed; trying again", of=whom, reason=str(error)[:300], suppressed=suppressed
            )
