"""Fills the gaps in the ledger from the exchanges' REST APIs, and closes its rows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack

import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import Fatal, Retryable, SourceError, WarehouseError
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.metrics import Metrics
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.recovery.rest_clients import Rest
from ingest_daemon.recovery.silence import QuietWatch
from ingest_daemon.storage.outage import Outage
from ingest_daemon.streams.status_board import StreamStatusBoard
from ingest_daemon.streams.stream_set import Streams
from sources.exchanges import EXCHANGES
from sources.trades import Mark, Missing, fetch_trades
from warehouse.db.connect import connect
from warehouse.ops.budgets import WarehouseBudget
from warehouse.ops.health import StreamState
from warehouse.trades import gaps
from warehouse.trades.gaps import Gap
from warehouse.trades.writer import TickWriter

LOOK_EVERY_S = 1.0
INHERIT_EVERY_S = 5.0
AT_ONCE = 4
"""Gaps of one exchange that are filled side by side."""
QUIET_S = 5.0
"""A market that brought no trade for so long after it was asked for gets its gap filled up to now."""
OVERLAP_US = SECOND_US
"""Trades come reordered: what is asked for begins a little before the gap."""
RETRY_FIRST_S, RETRY_CAP_S, REFUSED_CAP_S = 0.5, 15.0, 300.0
GIVE_UP_AFTER_US = 24 * 3_600 * SECOND_US
"""A row whose exchange has refused for so long is closed as unfillable."""

log = structlog.get_logger(__name__)


class Recoverer:
    """Works on the open rows of the markets that this daemon streams."""

    def __init__(
        self,
        settings: Settings,
        url: sqlalchemy.URL,
        daemon: str,
        market_ids: Mapping[Market, int],
        streams: Streams,
        continuity: Continuity,
        board: StreamStatusBoard,
        metrics: Metrics,
        outage: Outage,
    ) -> None:
        self._settings = settings
        self._url = url
        self._daemon = daemon
        self._market_ids = market_ids
        self._streams = streams
        self._continuity = continuity
        self._board = board
        self._metrics = metrics
        self._outage = outage
        self._is_leased = settings.ingest_mode == "shared"
        self._changed = asyncio.Event()
        self._busy: set[int] = set()
        self._next_try_s: dict[int, float] = {}
        self._waits: dict[int, float] = {}
        self._filled: Counter[str] = Counter()
        """Since the last line about them, by cause."""
        self._recovered = 0
        self._limits: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    def wake(self) -> None:
        """The ledger may have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Recover until cancelled. An outage of Postgres is waited out."""
        waits = backoff(cap_s=2.0)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self._work()
            except* (psycopg.Error, WarehouseError, OSError, TimeoutError) as errors:
                self._outage.began("recovery", _first(errors))
                wait_s = waits.send(0.0)
            self._busy.clear()

    async def _work(self) -> None:
        async with AsyncExitStack() as stack:
            ours = await connect(self._url, application_name="coinwatch ingest recovery")
            stack.push_async_callback(ours.close)
            spending = await connect(self._url, application_name="coinwatch ingest budgets")
            stack.push_async_callback(spending.close)
            rest = await stack.enter_async_context(Rest(self._settings, WarehouseBudget(spending)))
            self._outage.ended("recovery")
            store = _Store(ours, TickWriter(ours, self._market_ids, daemon=self._daemon))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(QuietWatch(rest, self._streams, self._continuity).run())
                inherit_at = 0.0
                while True:
                    self._changed.clear()
                    streamed = self._streamed()
                    if time.monotonic() >= inherit_at:
                        inherit_at = time.monotonic() + INHERIT_EVERY_S
                        await store.inherit(self._daemon, streamed, is_leased=self._is_leased)
                    for gap in await store.open_gaps(self._daemon, streamed):
                        if self._is_due(gap, streamed[gap.market_id]):
                            self._busy.add(gap.id)
                            tasks.create_task(self._recover(gap, streamed[gap.market_id], rest, store))
                    self._say_filled()
                    await self._change()

    def _say_filled(self) -> None:
        """One line for all that was filled together."""
        if self._filled and not self._busy:
            log.info("gaps were filled", causes=dict(self._filled), recovered=self._recovered)
            self._filled.clear()
            self._recovered = 0

    def _streamed(self) -> dict[int, Market]:
        return {self._market_ids[market]: market for market in self._streams.markets}

    async def _change(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _is_due(self, gap: Gap, market: Market) -> bool:
        if gap.id in self._busy or time.monotonic() < self._next_try_s.get(gap.id, 0.0):
            return False
        if gap.before_ts_us is not None:
            return True
        since = self._streams.subscribed_since(market)
        return since is not None and asyncio.get_running_loop().time() - since >= QUIET_S

    async def _recover(self, gap: Gap, market: Market, rest: Rest, store: _Store) -> None:
        try:
            async with self._limits[market.exchange]:
                await self._fill(gap, market, rest, store)
        except SourceError as error:
            await self._failed(gap, market, error, store)
        else:
            self._next_try_s.pop(gap.id, None)
            self._waits.pop(gap.id, None)
        finally:
            self._busy.discard(gap.id)

    async def _fill(self, gap: Gap, market: Market, rest: Rest, store: _Store) -> None:
        exchange = EXCHANGES[market.exchange]
        since = self._streams.subscribed_since(market)
        after = Mark(gap.after_id, gap.after_ts_us - OVERLAP_US)
        until = None if gap.before_ts_us is None else Mark(gap.before_id, gap.before_ts_us)
        oldest_us = gap.after_ts_us - max(OVERLAP_US, exchange.rest_ts_step_us)
        recovered, missing = 0, None
        newest: Trade | None = None
        page: list[Trade] = []
        asked_us = now_us()
        http = await rest.of(exchange)
        if until is None or until.ts_us >= gap.after_ts_us:
            async for fetched in fetch_trades(exchange, http, market, after, until):
                recovered += await store.write(page)
                page = [trade for trade in fetched.trades if trade.ts_us >= oldest_us]
                newest = max([*page, *([newest] if newest else [])], key=_by_time, default=None)
                missing = fetched.missing or missing
        if until is None and self._streams.subscribed_since(market) != since:
            await store.write(page)
            return  # the stream was lost meanwhile: the row is still without an end
        end_id, end_us = (gap.before_id, gap.before_ts_us or asked_us)
        if until is None:
            known = (newest.trade_id, newest.ts_us) if newest else (gap.after_id, gap.after_ts_us)
            self._continuity.heard_until(market, *known, time.monotonic())
            end_id = known[0]
        await self._close(gap, market, page, recovered, missing, end_id, end_us, store)

    async def _close(
        self,
        gap: Gap,
        market: Market,
        page: list[Trade],
        recovered: int,
        missing: Missing | None,
        end_id: int | None,
        end_us: int,
        store: _Store,
    ) -> None:
        # What is asked for begins before the gap; only what is missing of the gap itself counts.
        if missing is not None and missing.before is not None and missing.before.ts_us <= gap.after_ts_us:
            missing = None
        if gap.after_id is None:  # a first start goes back as far as it can, and nothing was there before
            missing = None
        if missing is None:
            recovered += await store.write(page)
            await store.fill(gap, recovered, end_id, end_us)
        else:
            before = missing.before or Mark(end_id, end_us)
            if before.ts_us > end_us:
                before = Mark(end_id, end_us)
            recovered = await store.give_up(gap, page, recovered, missing.reason, before, end_id, end_us)
        self._metrics.gaps.labels(market.exchange, "unfillable" if missing else "filled").inc()
        self._metrics.recovered.labels(market.exchange).inc(recovered)
        self._board.recovered(gap.market_id, recovered)
        if missing is not None:
            log.error(
                "a gap cannot be filled: trades are lost",
                market=str(market),
                cause=gap.cause,
                reason=missing.reason,
                recovered=recovered,
            )
        else:
            self._filled[gap.cause] += 1
            self._recovered += recovered

    async def _failed(self, gap: Gap, market: Market, error: SourceError, store: _Store) -> None:
        refused = isinstance(error, Fatal)
        if refused and self._continuity.newest(market) is None:
            self._board.set_state([market], StreamState.DOWN, str(error))
        if refused and now_us() - gap.after_ts_us > GIVE_UP_AFTER_US:
            end_us = gap.before_ts_us or now_us()
            missing = Missing(Mark(gap.after_id, gap.after_ts_us), None, str(error))
            await self._close(gap, market, [], 0, missing, gap.before_id, end_us, store)
            return
        cap_s = REFUSED_CAP_S if refused else RETRY_CAP_S
        wait_s = min(self._waits.get(gap.id, RETRY_FIRST_S / 2) * 2, cap_s)
        self._waits[gap.id] = wait_s
        if isinstance(error, Retryable) and error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        self._next_try_s[gap.id] = time.monotonic() + wait_s
        if wait_s > 2 * RETRY_FIRST_S:
            log.warning(
                "a gap could not be filled yet",
                market=str(market),
                reason=str(error),
                again_in_s=round(wait_s, 1),
            )
        await store.note_failure(gap, str(error))


class _Store:
    """The ledger and the ticks, over one connection that the gaps at work share in turn."""

    def __init__(self, conn: psycopg.AsyncConnection, writer: TickWriter) -> None:
        self._conn = conn
        self._writer = writer
        self._turn = asyncio.Lock()

    async def inherit(self, daemon: str, market_ids: Mapping[int, Market], *, is_leased: bool) -> None:
        async with self._turn:
            await gaps.inherit(self._conn, daemon, market_ids, silent_s=INHERIT_EVERY_S, is_leased=is_leased)

    async def open_gaps(self, daemon: str, market_ids: Mapping[int, Market]) -> list[Gap]:
        async with self._turn:
            return await gaps.open_gaps(self._conn, daemon, market_ids)

    async def write(self, trades: list[Trade]) -> int:
        """How many were new."""
        async with self._turn:
            return await self._write(trades)

    async def _write(self, trades: list[Trade]) -> int:
        if not trades:
            return 0
        return (await self._writer.write(trades, late=True, perhaps_stored=True)).inserted

    async def fill(self, gap: Gap, recovered: int, end_id: int | None, end_us: int) -> None:
        async with self._turn:
            await gaps.fill(self._conn, gap, recovered, heard_id=end_id, heard_ts_us=end_us)

    async def give_up(
        self,
        gap: Gap,
        page: list[Trade],
        recovered: int,
        reason: str,
        before: Mark,
        end_id: int | None,
        end_us: int,
    ) -> int:
        """Store ``page``, all that could be had, and say so at once: killed in between, the next try would
        take what is stored of it for the other end of what is missing. How many trades were new in all."""
        async with self._turn, self._conn.transaction():
            after_id, after_ts_us = await gaps.last_stored(self._conn, gap, before.ts_us)
            recovered += await self._write(page)
            await gaps.give_up(
                self._conn,
                gap,
                recovered=recovered,
                reason=reason,
                after_id=after_id,
                after_ts_us=after_ts_us,
                before_id=before.trade_id,
                before_ts_us=before.ts_us,
                end_id=end_id,
                end_ts_us=end_us,
            )
        return recovered

    async def note_failure(self, gap: Gap, reason: str) -> None:
        async with self._turn:
            await gaps.note_failure(self._conn, gap, reason)


def _by_time(trade: Trade) -> tuple[int, int]:
    return trade.ts_us, trade.trade_id


def _first(group: BaseExceptionGroup[BaseException]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(str(error))
