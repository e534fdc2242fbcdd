"""Computes the average price of every pair, every second, in one daemon at a time."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import date

import psycopg
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.health.episodes import Episode
from coinwatch.health.outage import reason_of
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, utc_day
from ingest_daemon.averages.pairs import FORGET_US, Now, Pairs
from ingest_daemon.backoff import backoff
from ingest_daemon.context import DaemonContext
from ingest_daemon.log_throttle import LogThrottle
from warehouse.averages import store
from warehouse.candles.chart_reads import DayStats, TradeRate, day_stats, trade_rates
from warehouse.db.connect import reading
from warehouse.db.errors import deadline, warehouse_errors
from warehouse.db.notifications import TICKS, decode_notice, listen
from warehouse.db.partitions import ensure_average_days
from warehouse.markets import markets_by_id
from warehouse.ops.leases import hold, release

LEASE = "averages"
LEASE_S = 5.0
"""When the computing daemon is killed, another takes over after this long."""
TRY_LEASE_EVERY_S = 1.0
NOTICES_EVERY_S = 0.02
"""How often notices of stored trades are read; each read takes time from the sockets."""
TIMEOUT_S = 5.0
"""A statement that takes longer has failed."""
STATISTICS_EVERY_S = 60.0
FIRST_STATISTICS_S = 6.0
"""How long the first row waits for volumes; without them all exchanges have the same weight."""
TAIL_US = 15 * MINUTE_US
"""How far back trades are read where candles are missing: more would take too long."""
NO_AVERAGES = "averages are not computed; retrying"
NO_STATISTICS = "volumes and rates of the last day could not be read"
NOT_THINNED = "old averages could not be thinned"
THIN_FIRST_S, THIN_EVERY_S = 60.0, 3_600.0

log = structlog.get_logger(__name__)


class Averager:
    """Holds a lease while it computes, so that no other daemon does."""

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        self._settings = context.settings
        self._failures: defaultdict[str, Episode] = defaultdict(Episode)
        self._bad_notices = LogThrottle()

    async def run(self) -> None:
        """Compute whenever no other daemon does, until cancelled. An outage of Postgres is waited out."""
        waits = backoff(cap_s=2.0)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(wait_s)
            started_s = time.monotonic()
            try:
                with warehouse_errors():
                    async with await self._context.connect("averages") as conn:
                        await self._take_turns(conn)
            except* WarehouseError as errors:
                self._log_failure(NO_AVERAGES, errors)
            wait_s = waits.send(time.monotonic() - started_s)

    async def _take_turns(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            if await self._holds(conn):
                try:
                    await self._lead(conn)
                finally:
                    with suppress(WarehouseError):
                        async with deadline(1):
                            await release(conn, self._context.daemon, [LEASE])
                log.info("another daemon computes the averages now")
            await asyncio.sleep(TRY_LEASE_EVERY_S)

    async def _holds(self, conn: psycopg.AsyncConnection) -> bool:
        async with deadline(TIMEOUT_S):
            return await hold(conn, LEASE, self._context.daemon, LEASE_S)

    async def _lead(self, conn: psycopg.AsyncConnection) -> None:
        """Compute until the lease is lost."""
        pairs = Pairs(
            self._settings.averages_method,
            fold_stablecoins=self._settings.averages_fold_stablecoins,
            quarantined=await store.quarantined(conn),
        )
        has_trades, has_statistics = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._follow_trades(pairs, has_trades)),
                tasks.create_task(self._follow_statistics(pairs, has_trades, has_statistics)),
                tasks.create_task(self._thin()),
            ]
            try:
                await self._write(conn, pairs, has_trades, has_statistics)
            finally:
                for helper in helpers:
                    helper.cancel()

    async def _follow_trades(self, pairs: Pairs, has_trades: asyncio.Event) -> None:
        """Keep the last live trade of every market."""

        async def catch_up(conn: psycopg.AsyncConnection) -> None:
            pairs.add_markets(await markets_by_id(conn))
            now = Now.read()
            for trade in await store.live_trades(conn, now.wall_us - FORGET_US):
                pairs.add_stored(trade, now)
            has_trades.set()

        notices = listen(
            self._context.url,
            [TICKS],
            application_name="coinwatch ingest averages",
            on_connect=catch_up,
            rest_s=NOTICES_EVERY_S,
        )
        async with aclosing(notices):
            async for notice in notices:
                now = Now.read()
                try:
                    moves = decode_notice(notice.payload).moves
                except WarehouseError as error:
                    if (suppressed := self._bad_notices.suppressed()) is not None:
                        log.warning(
                            "a notice could not be read", reason=reason_of(error), suppressed=suppressed
                        )
                    continue
                for move in moves:
                    pairs.add_move(move, now)

    async def _follow_statistics(
        self, pairs: Pairs, has_trades: asyncio.Event, has_statistics: asyncio.Event
    ) -> None:
        """Keep volumes, highs, lows and trade rates of the last day."""
        await has_trades.wait()
        while True:
            try:
                with warehouse_errors():
                    pairs.set_statistics(*await asyncio.to_thread(self._last_day, pairs.traded))
                self._log_return(NO_STATISTICS, "volumes and rates of the last day are read again")
            except WarehouseError as error:
                self._log_failure(NO_STATISTICS, error)
            has_statistics.set()
            await asyncio.sleep(STATISTICS_EVERY_S)

    def _last_day(self, market_ids: list[int]) -> tuple[tuple[DayStats, ...], tuple[TradeRate, ...]]:
        at_us = now_us()
        # A connection of its own each time: the thread closes it, even when the task is cancelled.
        with reading(
            self._context.url,
            application_name="coinwatch ingest averages statistics",
            statement_timeout_s=TIMEOUT_S,
        ) as conn:
            return day_stats(conn, market_ids, at_us, TAIL_US), trade_rates(conn, market_ids, at_us)

    async def _write(
        self,
        conn: psycopg.AsyncConnection,
        pairs: Pairs,
        has_trades: asyncio.Event,
        has_statistics: asyncio.Event,
    ) -> None:
        days: set[date] = set()
        started_s = time.monotonic()
        is_logged = False
        while True:
            ts_us = await _next(self._settings.averages_every_s * SECOND_US)
            if not await self._holds(conn):
                return
            if not has_trades.is_set():
                continue
            if not has_statistics.is_set() and time.monotonic() - started_s < FIRST_STATISTICS_S:
                continue
            async with deadline(TIMEOUT_S):
                if missing := {utc_day(ts_us), utc_day(ts_us + DAY_US)} - days:
                    await ensure_average_days(conn, missing)
                    days |= missing
                if pairs.has_unknown_markets:
                    pairs.add_markets(await markets_by_id(conn))
                averages = []
                for pair in pairs.averages(ts_us, Now.read()):
                    averages.append(pair)
                    await asyncio.sleep(0)  # lets sockets and commits run in between
                await store.write_averages(conn, ts_us, averages)
                await self._record_changes(conn, pairs)
            self._log_return(NO_AVERAGES, "averages are computed again")
            if not is_logged:
                log.info("computing averages", pairs=len(averages))
                is_logged = True

    async def _record_changes(self, conn: psycopg.AsyncConnection, pairs: Pairs) -> None:
        for change in pairs.take_changes():
            market, deviation = str(change.market), round(change.deviation, 4)
            if change.is_released:
                await store.release_from_quarantine(conn, change.market_id, change.deviation)
                log.info("a market is back in its average", market=market, deviation=deviation)
            else:
                await store.quarantine(conn, change.market_id, change.since_us, change.deviation)
                log.warning(
                    "a market has been over 20 % from the others for an hour: it is taken for another coin "
                    "and left out of the average",
                    market=market,
                    deviation=deviation,
                )
        for symbol, is_disputed in pairs.take_disputes():
            if is_disputed:
                log.warning("no average: no two exchanges agree", pair=str(symbol))
            else:
                log.info("exchanges agree again", pair=str(symbol))

    async def _thin(self) -> None:
        """Reduce old days to a row a minute."""
        wait_s = THIN_FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = THIN_EVERY_S
            try:
                with warehouse_errors():
                    async with await self._context.connect("averages thinning") as conn:
                        if thinned := await store.thin(conn, now_us()):
                            log.info("old averages are kept once a minute now", partitions=thinned)
                self._log_return(NOT_THINNED, "old averages are thinned again")
            except WarehouseError as error:
                self._log_failure(NOT_THINNED, error)

    def _log_failure(self, event: str, error: BaseException) -> None:
        if self._failures[event].failed(reason_of(error)):
            log.warning(event, reason=reason_of(error))

    def _log_return(self, event: str, message: str) -> None:
        """Log ``message`` if ``event`` was logged before."""
        if (recovery := self._failures[event].worked()) is not None:
            log.info(message, failed_s=recovery.lasted_s)


async def _next(
    every_us: int,
    clock: Callable[[], int] = now_us,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Wait for the next multiple of ``every_us``; never for longer, even if the clock is set back."""
    due_us = (clock() // every_us + 1) * every_us
    while 0 < (left_us := due_us - clock()) <= every_us:
        await sleep(left_us / SECOND_US)
    return due_us
