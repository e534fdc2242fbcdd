"""Fills stream gaps from the exchanges' REST APIs, and closes them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress

import structlog

from coinwatch.errors import Fatal, Retryable, SourceError, WarehouseError, WarehouseUnavailable
from coinwatch.health.episodes import Episode
from coinwatch.health.outage import reason_of, refuses_writes
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.context import DaemonContext
from ingest_daemon.recovery.gap_store import GapStore
from ingest_daemon.recovery.rest_clients import Rest
from ingest_daemon.recovery.silence import QuietWatch
from ingest_daemon.streams.stream_set import Streams
from sources.exchanges import EXCHANGES
from sources.trades import Mark, Missing, fetch_trades
from warehouse.db.errors import warehouse_errors
from warehouse.ops.budgets import WarehouseBudget
from warehouse.ops.health import StreamState
from warehouse.trades.gaps import Gap

CHECK_EVERY_S = 1.0
INHERIT_EVERY_S = 5.0
AT_ONCE = 4
"""How many gaps of one exchange are filled at the same time."""
QUIET_S = 5.0
"""When a market has not traded for this long after its subscription, its gap is filled up to now."""
OVERLAP_US = SECOND_US
"""How much before a gap requests begin, because trades arrive reordered."""
RETRY_FIRST_S, RETRY_CAP_S, REFUSED_CAP_S = 0.5, 15.0, 300.0
REFUSED_WRITES_S = 10.0
"""Between attempts while Postgres stores nothing."""
UNFILLED_SETTLED_S = 60.0
GIVE_UP_AFTER_US = 24 * 3_600 * SECOND_US
"""A gap that its exchange has refused to fill for this long is closed as unfillable."""

log = structlog.get_logger(__name__)


class Recoverer:
    """Fills the open gaps of the markets that this daemon streams."""

    def __init__(self, context: DaemonContext, streams: Streams) -> None:
        self._context = context
        self._streams = streams
        self._changed = asyncio.Event()
        self._busy: set[int] = set()
        self._next_attempt_s: dict[int, float] = {}
        self._waits: dict[int, float] = {}
        self._filled: Counter[str] = Counter()
        """Gaps filled since the last log line about them, by cause."""
        self._recovered = 0
        self._failures = Episode()
        self._unfilled: defaultdict[str, Episode] = defaultdict(lambda: Episode(UNFILLED_SETTLED_S))
        """Requests that failed, by exchange."""
        self._limits: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    def wake(self) -> None:
        """Check for new gaps now."""
        self._changed.set()

    async def run(self) -> None:
        """Recover until cancelled. An outage of Postgres is waited out."""
        waits = backoff(cap_s=2.0)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(wait_s)
            try:
                with warehouse_errors():
                    await self._work()
            except* WarehouseUnavailable as errors:
                self._context.outage.began("recovery", errors)
                wait_s = waits.send(0.0)
                if refuses_writes(errors):  # what is fetched again could not be stored either
                    wait_s = REFUSED_WRITES_S
            except* WarehouseError as errors:  # a fault of ours: streams and commits continue
                if self._failures.failed(reason_of(errors)):
                    log.error("recovery failed; retrying", reason=reason_of(errors))
                wait_s = waits.send(0.0)
            self._busy.clear()

    async def _work(self) -> None:
        async with AsyncExitStack() as stack:
            conn = await self._context.connect("recovery")
            stack.push_async_callback(conn.close)
            budgets = await self._context.connect("budgets")
            stack.push_async_callback(budgets.close)
            rest = await stack.enter_async_context(Rest(self._context.settings, WarehouseBudget(budgets)))
            store = GapStore(self._context, conn)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(QuietWatch(self._context, rest, self._streams).run())
                inherit_at = 0.0
                while True:
                    self._changed.clear()
                    streamed = self._streamed()
                    if time.monotonic() >= inherit_at:
                        inherit_at = time.monotonic() + INHERIT_EVERY_S
                        await store.inherit(streamed)
                    for gap in await store.open_gaps(streamed):
                        if self._is_due(gap, streamed[gap.market_id]):
                            self._busy.add(gap.id)
                            tasks.create_task(self._recover(gap, streamed[gap.market_id], rest, store))
                    self._context.outage.ended("recovery")
                    self._failures.worked()
                    self._log_filled()
                    await self._change()

    def _log_filled(self) -> None:
        """Log one line for all gaps that were filled together."""
        if self._filled and not self._busy:
            log.info("gaps were filled", causes=dict(self._filled), recovered=self._recovered)
            self._filled.clear()
            self._recovered = 0

    def _streamed(self) -> dict[int, Market]:
        return {self._context.market_ids[market]: market for market in self._streams.markets}

    async def _change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_EVERY_S):
                await self._changed.wait()

    def _is_due(self, gap: Gap, market: Market) -> bool:
        if gap.id in self._busy or time.monotonic() < self._next_attempt_s.get(gap.id, 0.0):
            return False
        if gap.before_ts_us is not None:
            return True
        since = self._streams.subscribed_since(market)
        return since is not None and asyncio.get_running_loop().time() - since >= QUIET_S

    async def _recover(self, gap: Gap, market: Market, rest: Rest, store: GapStore) -> None:
        try:
            async with self._limits[market.exchange]:
                await self._fill(gap, market, rest, store)
        except SourceError as error:
            await self._failed(gap, market, error, store)
        else:
            self._unfilled[market.exchange].worked()
            self._next_attempt_s.pop(gap.id, None)
            self._waits.pop(gap.id, None)
        finally:
            self._busy.discard(gap.id)

    async def _fill(self, gap: Gap, market: Market, rest: Rest, store: GapStore) -> None:
        exchange = EXCHANGES[market.exchange]
        since = self._streams.subscribed_since(market)
        after = Mark(gap.after_id, gap.after_ts_us - OVERLAP_US)
        until = None if gap.before_ts_us is None else Mark(gap.before_id, gap.before_ts_us)
        oldest_us = gap.after_ts_us - max(OVERLAP_US, exchange.rest_ts_step_us)
        recovered, missing = 0, None
        newest: Trade | None = None
        page: list[Trade] = []
        requested_us = now_us()
        http = await rest.of(exchange)
        if until is None or until.ts_us >= gap.after_ts_us:
            async for fetched in fetch_trades(exchange, http, market, after, until):
                recovered += await store.write(page)
                page = [trade for trade in fetched.trades if trade.ts_us >= oldest_us]
                newest = max([*page, *([newest] if newest else [])], key=_by_time, default=None)
                missing = fetched.missing or missing
        if until is None and self._streams.subscribed_since(market) != since:
            await store.write(page)
            return  # the stream was lost meanwhile: the gap still has no end
        end = until
        if end is None:
            last = Mark(newest.trade_id, newest.ts_us) if newest else Mark(gap.after_id, gap.after_ts_us)
            self._context.continuity.complete_until(market, last.trade_id, last.ts_us, time.monotonic())
            end = Mark(last.trade_id, requested_us)
        await self._close(gap, market, page, recovered, missing, end, store)

    async def _close(
        self,
        gap: Gap,
        market: Market,
        page: list[Trade],
        recovered: int,
        missing: Missing | None,
        end: Mark,
        store: GapStore,
    ) -> None:
        # Requests begin before the gap; only what is missing of the gap itself counts.
        if missing is not None and missing.before is not None and missing.before.ts_us <= gap.after_ts_us:
            missing = None
        if gap.after_id is None:  # a first start goes back as far as it can: nothing was stored before it
            missing = None
        if missing is None:
            recovered += await store.write(page)
            await store.fill(gap, recovered, end)
        else:
            before = missing.before or end
            if before.ts_us > end.ts_us:
                before = end
            recovered = await store.give_up(gap, page, recovered, missing.reason, before, end)
        metrics = self._context.metrics
        metrics.gaps.labels(market.exchange, "unfillable" if missing else "filled").inc()
        metrics.recovered.labels(market.exchange).inc(recovered)
        self._context.status_board.recovered(gap.market_id, recovered)
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

    async def _failed(self, gap: Gap, market: Market, error: SourceError, store: GapStore) -> None:
        refused = isinstance(error, Fatal)
        if refused and self._context.continuity.newest(market) is None:
            self._context.status_board.set_state([market], StreamState.DOWN, str(error))
        if refused and now_us() - gap.after_ts_us > GIVE_UP_AFTER_US:
            missing = Missing(Mark(gap.after_id, gap.after_ts_us), None, str(error))
            end = Mark(gap.before_id, gap.before_ts_us or now_us())
            await self._close(gap, market, [], 0, missing, end, store)
            return
        cap_s = REFUSED_CAP_S if refused else RETRY_CAP_S
        wait_s = min(self._waits.get(gap.id, RETRY_FIRST_S / 2) * 2, cap_s)
        self._waits[gap.id] = wait_s
        if isinstance(error, Retryable) and error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        self._next_attempt_s[gap.id] = time.monotonic() + wait_s
        if wait_s > 2 * RETRY_FIRST_S and self._unfilled[market.exchange].failed(str(error)):
            log.warning(
                "a gap could not be filled yet",
                market=str(market),
                reason=str(error),
                again_in_s=round(wait_s, 1),
            )
        await store.note_failure(gap, str(error))


def _by_time(trade: Trade) -> tuple[int, int]:
    return trade.ts_us, trade.trade_id
