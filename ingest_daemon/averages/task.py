"""The task that computes the average of every pair, every second, in one of all daemons at a time."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import date

import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, utc_day
from ingest_daemon.averages.pairs import FORGET_US, Now, Pairs
from ingest_daemon.backoff import backoff
from ingest_daemon.log_throttle import LogThrottle
from warehouse.averages import store
from warehouse.candles.chart_reads import DayStats, TradeRate, day_stats, trade_rates
from warehouse.db.connect import connect, reading
from warehouse.db.notifications import TICKS, decode_notice, listen
from warehouse.db.partitions import ensure_average_days
from warehouse.markets import markets_by_id
from warehouse.ops.leases import hold, release

LEASE = "averages"
LEASE_S = 5.0
"""When the daemon that computes is killed, another one does after so long."""
LOOK_EVERY_S = 1.0
HEAR_EVERY_S = 0.02
"""How long trades may be stored before they are heard of here; each look at them costs the sockets time."""
TIMEOUT_S = 5.0
"""An answer that takes longer counts as none."""
MEASURE_EVERY_S = 60.0
FIRST_MEASURE_S = 6.0
"""How long the first row waits for volumes; without them all exchanges weigh the same."""
TAIL_US = 15 * MINUTE_US
"""How far back trades are read where candles are missing: minutes, or many trades would take too long."""
THIN_FIRST_S, THIN_EVERY_S = 60.0, 3_600.0

log = structlog.get_logger(__name__)

_FAILURES = (psycopg.Error, sqlalchemy.exc.SQLAlchemyError, WarehouseError, OSError, TimeoutError)


class Averager:
    """``holder``: this process, as it is named in leases."""

    def __init__(self, url: sqlalchemy.URL, settings: Settings, holder: str) -> None:
        self._url = url
        self._settings = settings
        self._holder = holder
        self._failures: defaultdict[str, LogThrottle] = defaultdict(LogThrottle)

    async def run(self) -> None:
        """Compute whenever nobody else does, until cancelled. An outage of Postgres is waited out."""
        waits = backoff(cap_s=2.0)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(wait_s)
            started_s = time.monotonic()
            try:
                async with await connect(self._url, application_name="coinwatch ingest averages") as conn:
                    await self._take_turns(conn)
            except* _FAILURES as errors:
                self._failed("averages are not computed; trying again", errors)
            wait_s = waits.send(time.monotonic() - started_s)

    async def _take_turns(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            if await self._holds(conn):
                try:
                    await self._lead(conn)
                finally:
                    with suppress(psycopg.Error, OSError, TimeoutError):
                        async with asyncio.timeout(1):
                            await release(conn, self._holder, [LEASE])
                log.info("another daemon computes the averages now")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _holds(self, conn: psycopg.AsyncConnection) -> bool:
        async with asyncio.timeout(TIMEOUT_S):
            return await hold(conn, LEASE, self._holder, LEASE_S)

    async def _lead(self, conn: psycopg.AsyncConnection) -> None:
        """Compute until the lease is lost."""
        pairs = Pairs(
            self._settings.averages_method,
            fold_stablecoins=self._settings.averages_fold_stablecoins,
            held=await store.quarantined(conn),
        )
        heard, measured = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._hear(pairs, heard)),
                tasks.create_task(self._measure(pairs, heard, measured)),
                tasks.create_task(self._thin()),
            ]
            try:
                await self._write(conn, pairs, heard, measured)
            finally:
                for helper in helpers:
                    helper.cancel()

    async def _hear(self, pairs: Pairs, heard: asyncio.Event) -> None:
        """Keep the last live trade of every market."""

        async def catch_up(conn: psycopg.AsyncConnection) -> None:
            pairs.know(await markets_by_id(conn))
            now = Now.read()
            for trade in await store.live_trades(conn, now.wall_us - FORGET_US):
                pairs.recall(trade, now)
            heard.set()

        notices = listen(
            self._url,
            [TICKS],
            application_name="coinwatch ingest averages",
            on_connect=catch_up,
            rest_s=HEAR_EVERY_S,
        )
        async with aclosing(notices):
            async for notice in notices:
                now = Now.read()
                try:
                    moves = decode_notice(notice.payload).moves
                except WarehouseError as error:
                    self._failed("a notice could not be read", error)
                    continue
                for move in moves:
                    pairs.hear(move, now)

    async def _measure(self, pairs: Pairs, heard: asyncio.Event, measured: asyncio.Event) -> None:
        """Keep volumes, extremes and usual rates of the last day."""
        await heard.wait()
        while True:
            try:
                pairs.measure(*await asyncio.to_thread(self._last_day, pairs.traded))
            except _FAILURES as error:
                self._failed("volumes and rates of the last day could not be read", error)
            measured.set()
            await asyncio.sleep(MEASURE_EVERY_S)

    def _last_day(self, market_ids: list[int]) -> tuple[tuple[DayStats, ...], tuple[TradeRate, ...]]:
        at_us = now_us()
        # A connection of its own each time: it is closed by its thread, though nobody waits for it.
        with reading(
            self._url,
            application_name="coinwatch ingest averages statistics",
            statement_timeout_s=TIMEOUT_S,
        ) as conn:
            return day_stats(conn, market_ids, at_us, TAIL_US), trade_rates(conn, market_ids, at_us)

    async def _write(
        self, conn: psycopg.AsyncConnection, pairs: Pairs, heard: asyncio.Event, measured: asyncio.Event
    ) -> None:
        days: set[date] = set()
        started_s = time.monotonic()
        is_told = False
        while True:
            ts_us = await _next(self._settings.averages_every_s * SECOND_US)
            if not await self._holds(conn):
                return
            if not heard.is_set():
                continue
            if not measured.is_set() and time.monotonic() - started_s < FIRST_MEASURE_S:
                continue
            async with asyncio.timeout(TIMEOUT_S):
                if missing := {utc_day(ts_us), utc_day(ts_us + DAY_US)} - days:
                    await ensure_average_days(conn, missing)
                    days |= missing
                if pairs.has_unknown:
                    pairs.know(await markets_by_id(conn))
                found = []
                for pair in pairs.averages(ts_us, Now.read()):
                    found.append(pair)
                    await asyncio.sleep(0)  # trades wait for none of this
                await store.write_averages(conn, ts_us, found)
                await self._tell_changes(conn, pairs)
            if not is_told:
                log.info("computing averages", pairs=len(found))
                is_told = True

    async def _tell_changes(self, conn: psycopg.AsyncConnection, pairs: Pairs) -> None:
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
        """Make old days small."""
        wait_s = THIN_FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = THIN_EVERY_S
            try:
                async with await connect(
                    self._url, application_name="coinwatch ingest averages thinning"
                ) as conn:
                    if thinned := await store.thin(conn, now_us()):
                        log.info("old averages are kept once a minute now", partitions=thinned)
            except _FAILURES as error:
                self._failed("old averages could not be thinned", error)

    def _failed(self, what: str, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if (suppressed := self._failures[what].suppressed()) is not None:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            log.warning(what, reason=reason, suppressed=suppressed)


async def _next(
    every_us: int,
    clock: Callable[[], int] = now_us,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Wait for the next whole multiple of ``every_us``; never for longer, should the clock be set back."""
    due_us = (clock() // every_us + 1) * every_us
    while 0 < (left_us := due_us - clock()) <= every_us:
        await sleep(left_us / SECOND_US)
    return due_us
