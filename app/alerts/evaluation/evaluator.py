"""From a commit of trades to claimed alerts.

Commits are evaluated in order, from one LISTEN connection: a rule is known before the first commit after
it. What was missed while the connection was lost or the endpoint was down is read from the warehouse, by
what was committed since the last snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, aclosing
from itertools import groupby
from math import inf
from typing import Protocol

import msgspec
import structlog
from psycopg import AsyncConnection, Notify

from app.alerts.catalogue import Catalogue
from app.alerts.evaluation.catch_up import AVERAGE_LATE_US, LATE_US, replay
from app.alerts.evaluation.late_trades import late_transitions
from app.alerts.evaluation.notify_queue import NotifyQueue
from app.alerts.evaluation.polled_inputs import PolledInputs
from app.alerts.evaluation.progress import Progress
from app.alerts.evaluation.warm_up import warm_average, warm_prices, warm_windows
from app.alerts.metrics import Metrics
from app.alerts.rules.engine import RuleEngine, is_single_threshold
from app.alerts.rules.market_state import PriceSeries
from coinwatch.alerts import Alert, Rule, Transition
from coinwatch.errors import WarehouseError
from coinwatch.health.outage import Outage, refuses_writes
from coinwatch.records import Market, Symbol, Trade
from coinwatch.times import MINUTE_US
from warehouse.alerts.claims import claim
from warehouse.alerts.rules import ALERT_RULES, armed_rules, rules_by_id
from warehouse.alerts.snapshots import CommitSnapshot, consistent_reads, last_snapshot, trades_of_commit
from warehouse.averages.store import AVERAGES, AveragesNotice, decode_averages
from warehouse.candles.store import CANDLES
from warehouse.db.database import Database
from warehouse.db.notifications import TICKS, TICKS_LATE, MarketMove, TicksNotice, decode_notice
from warehouse.markets import known_markets

RETRY_S = 0.5
REFUSED_WRITES_S = 5.0
"""Between attempts while Postgres stores nothing: each reads all rules."""
TICK_S = 1.0
"""How often rules are evaluated by the clock."""
CLAIM_AT_ONCE = 1_000

PART = "evaluation"
"""Its name in outages."""
CHANNELS = (TICKS, TICKS_LATE, ALERT_RULES, AVERAGES, CANDLES)

log = structlog.get_logger(__name__)


class AlertSink(Protocol):
    """Receives the alerts that this endpoint stores."""

    def claiming(self) -> AbstractContextManager[None]:
        """Within, alerts are being stored: their announcements need not be read back."""

    def stored(self, alerts: Sequence[Alert]) -> None:
        """Take alerts that were just stored."""


class Evaluator:
    """Evaluates every commit and claims the transitions of rules."""

    def __init__(
        self,
        database: Database,
        claims: Database,
        queue: NotifyQueue,
        catalogue: Catalogue,
        progress: Progress,
        sink: AlertSink,
        metrics: Metrics,
        outage: Outage,
    ) -> None:
        self._database = database
        self._claims = claims
        self._queue = queue
        self._catalogue = catalogue
        self._progress = progress
        self._sink = sink
        self._metrics = metrics
        self._outage = outage
        self._engine = RuleEngine()
        self._inputs = PolledInputs()
        self._last_ts_us: dict[int, int] = {}
        self._ticked_at = -inf
        self._begun: CommitSnapshot | None = None
        """The snapshot that the state of markets without later commits is from."""

    def __len__(self) -> int:
        """The number of rules being evaluated."""
        return len(self._engine)

    async def run(self) -> None:
        """Evaluate until cancelled. While Postgres is unavailable, retry; then catch up."""
        while True:
            await self._queue.started()
            try:
                await self._catch_up()
                self._outage.ended(PART)
                while (notifies := await self._queue.take(TICK_S)) is not None:
                    await self._work(notifies)
                    if time.monotonic() - self._ticked_at >= TICK_S:
                        await self._tick()
            except WarehouseError as error:
                self._outage.began(PART, error)
                await asyncio.sleep(REFUSED_WRITES_S if refuses_writes(error) else RETRY_S)

    async def _work(self, notifies: Sequence[Notify]) -> None:
        for channel, group in groupby(notifies, key=lambda notify: notify.channel):
            payloads = [notify.payload for notify in group]
            if channel == TICKS:
                await self._evaluate([notice for payload in payloads if (notice := _notice(payload))])
            elif channel == TICKS_LATE:
                await self._evaluate_late([notice for payload in payloads if (notice := _notice(payload))])
            elif channel == ALERT_RULES:
                await self._load({int(payload) for payload in payloads if payload.isdecimal()})
            elif channel == AVERAGES:
                await self._average([averages for payload in payloads if (averages := _averages(payload))])
            elif channel == CANDLES:
                self._inputs.candles_announced(payloads)
            elif payloads[-1].isdecimal():
                # If this endpoint ends, the next one continues from here: all before is stored.
                await self._tick()
                self._progress.acknowledge(int(payloads[-1]))

    async def _load(self, rule_ids: set[int]) -> None:
        async with self._database.use() as conn:
            await self._reload(conn, rule_ids)

    async def _reload(self, conn: AsyncConnection, rule_ids: set[int]) -> dict[int, Rule]:
        if not rule_ids:
            return {}
        rules = await rules_by_id(conn, rule_ids)
        now_us = self._progress.now_us()
        symbols = {rule.symbol for rule in rules.values() if not is_single_threshold(rule, now_us)}
        unheard = [
            feed.market_id
            for symbol in symbols
            for feed in self._engine.market_state.pair(symbol).markets.values()
            if feed.last is None
        ]
        if unheard:
            await warm_prices(conn, self._engine, unheard, now_us + MINUTE_US, self._begun)
        for rule_id in rule_ids:
            if rule := rules.get(rule_id):
                self._engine.put(rule, now_us)
            else:
                self._engine.remove(rule_id)
        if symbols:
            await self._warm(conn)
        return rules

    async def _evaluate(self, notices: Sequence[TicksNotice]) -> None:
        for notice in notices:
            if self._progress.snapshot and self._progress.snapshot.sees(notice.tx):
                continue
            heard = time.perf_counter()
            for feed, trade in await self._trades_that_matter(notice):
                self._engine.trade(feed, trade, notice.tx, self._progress.now_us())
            if await self._claim():
                self._metrics.claim_s.observe(time.perf_counter() - heard)

    async def _trades_that_matter(self, notice: TicksNotice) -> list[tuple[PriceSeries, Trade]]:
        matter: list[tuple[PriceSeries, Trade]] = []
        for move in notice.moves:
            self._metrics.moves.inc()
            self._last_ts_us[move.market_id] = move.last_ts_us
            market = await self._market(move.market_id)
            if market is None:
                continue
            is_new = move.market_id not in self._engine.market_state.markets
            feed = self._engine.meet(move.market_id, market)
            if is_new:
                async with self._database.use() as conn:
                    await self._warm(conn)
            if not self._engine.needs_trades(feed, move.low, move.high, move.last_ts_us):
                self._engine.moved(feed, move.last, move.last_ts_us, notice.tx)
            elif move.count == 1:
                matter.append((feed, _only_trade(market, move)))
            else:
                async with self._database.use() as conn:
                    trades = await trades_of_commit(conn, notice.tx, market, move)
                matter += [(feed, trade) for trade in trades]
        return sorted(matter, key=lambda match: (match[1].ts_us, match[0].market_id))

    async def _evaluate_late(self, notices: Sequence[TicksNotice]) -> None:
        """Fire the rules that were armed at the time of recovered trades; live prices stay as they are."""
        for notice in notices:
            if self._progress.snapshot and self._progress.snapshot.sees(notice.tx):
                continue
            for move in notice.moves:
                if market := await self._market(move.market_id):
                    await self._evaluate_late_move(notice.tx, market, move)

    async def _evaluate_late_move(self, tx: int, market: Market, move: MarketMove) -> None:
        lost = True
        while lost:  # evaluate again with the rules as another endpoint has left them
            now_us = self._progress.now_us()
            async with self._database.use() as conn:
                changes = await late_transitions(conn, self._engine, tx, market, move, now_us)
            lost = False
            for part in _portions(changes):
                lost |= bool(await self._claim_once(part))

    async def _market(self, market_id: int) -> Market | None:
        market = self._catalogue.market(market_id)
        if market is None:
            async with self._database.use() as conn:
                self._catalogue.update(await known_markets(conn))
            market = self._catalogue.market(market_id)
        return market

    async def _average(self, notices: Sequence[AveragesNotice]) -> None:
        now_us = self._progress.now_us()
        self._engine.pass_to(now_us)
        for notice in notices:
            for average in notice.averages:
                symbol = Symbol(average.base, average.quote)
                self._engine.average(symbol, average.price, notice.ts_us, now_us)
        await self._claim()

    async def _tick(self) -> None:
        self._ticked_at = time.monotonic()
        now_us = self._progress.now_us()
        if self._progress.snapshot:
            self._engine.taken_through(self._progress.snapshot.ended_through)
        self._engine.pass_to(now_us)
        async with self._database.use() as conn:
            await self._inputs.poll(conn, self._engine, now_us)
        self._engine.tick(now_us)
        await self._claim()
        self._engine.tidy()
        self._inputs.tidy(self._engine)

    async def _claim(self) -> bool:
        changes = self._engine.drain()
        await self._claim_all(changes)
        return bool(changes)

    async def _claim_all(self, changes: Sequence[Transition]) -> None:
        for part in _portions(changes):
            while part:
                lost = await self._claim_once(part)
                part = [again for change, now in lost if (again := change.onto(now))]

    async def _claim_once(self, changes: Sequence[Transition]) -> list[tuple[Transition, Rule]]:
        """Claim changes; returns those that were lost, each with its rule as another endpoint has left it."""
        async with self._claims.use() as claiming:
            with self._sink.claiming():
                claimed = await claim(claiming, changes)
                self._sink.stored(claimed.alerts)
        self._keep([change for change in changes if change.before.id in claimed.ids])
        lost = [change for change in changes if change.before.id not in claimed.ids]
        self._metrics.claimed.inc(len(claimed.ids))
        self._metrics.lost_claims.inc(len(lost))
        if not lost:
            return []
        async with self._database.use() as conn:
            now = await self._reload(conn, {change.before.id for change in lost})
        return [(change, now[change.before.id]) for change in lost if change.before.id in now]

    def _keep(self, claimed: Sequence[Transition]) -> None:
        """Put the claimed rules into the engine, unless it has them already."""
        for change in claimed:
            held = self._engine.get(change.after.id)
            if held is not change.after and (held or change.after.armed):
                self._engine.put(change.after, self._progress.now_us())

    async def _warm(self, conn: AsyncConnection) -> None:
        now_us = self._progress.now_us()
        await warm_windows(
            conn, self._engine, now_us + MINUTE_US, self._begun, closed_us=now_us, is_live=True
        )
        await self._inputs.start(conn, self._engine, now_us, now_us)

    async def _catch_up(self) -> None:
        """Read all rules, and evaluate what was committed since the last snapshot."""
        self._metrics.catch_ups.inc()
        missed = 0
        async with self._database.use() as conn, consistent_reads(conn) as now:
            self._progress.set_clock(now)
            self._catalogue.update(await known_markets(conn))
            seen = self._progress.snapshot or await last_snapshot(conn)
            await self._begin(conn, now, seen)
            if seen:
                missed = await replay(conn, self._engine, self._inputs, seen, now, self._last_ts_us)
        changes = self._engine.drain()
        if seen:
            changes = [_as_late(change, seen) for change in changes]
        await self._claim_all(changes)
        self._progress.caught_up(now)
        log.info("evaluating every commit", rules=len(self), missed_trades=missed, changed=len(changes))

    async def _begin(self, conn: AsyncConnection, now: CommitSnapshot, seen: CommitSnapshot | None) -> None:
        """Make a new engine, in the state of ``seen`` (None: of ``now``)."""
        self._engine.end()
        self._engine = engine = RuleEngine()
        self._begun = now
        self._inputs = PolledInputs()
        for market_id, market in self._catalogue.ids().items():
            engine.meet(market_id, market)
        at_us = seen.at_us if seen else now.at_us
        waiting: list[Rule] = []
        async with aclosing(armed_rules(conn)) as portions:
            async for rules in portions:
                for rule in rules:
                    if is_single_threshold(rule, at_us):
                        engine.put(rule, at_us)
                    else:
                        waiting.append(rule)
                await asyncio.sleep(0)
        engine.taken_through((seen or now).ended_through)
        symbols = {rule.symbol for rule in waiting}
        ids = [feed.market_id for feed in engine.market_state.markets.values() if feed.symbol in symbols]
        await warm_prices(conn, engine, ids, now.at_us + MINUTE_US, seen)
        for symbol in symbols:
            await warm_average(conn, engine, symbol, at_us - AVERAGE_LATE_US if seen else at_us)
        for rule in waiting:
            engine.put(rule, at_us)
        closed_us = at_us - LATE_US if seen else at_us
        await warm_windows(conn, engine, now.at_us + MINUTE_US, seen, closed_us=closed_us)
        await self._inputs.start(conn, engine, at_us, closed_us)


def _only_trade(market: Market, move: MarketMove) -> Trade:
    """The trade of a move of one trade. Its taker side is unknown, and no condition depends on it."""
    return Trade(market, move.first_id, move.last_ts_us, move.last, move.volume, taker_buys=True)


def _portions(changes: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    for start in range(0, len(changes), CLAIM_AT_ONCE):
        yield changes[start : start + CLAIM_AT_ONCE]


def _as_late(change: Transition, seen: CommitSnapshot) -> Transition:
    """Mark firings by trades older than ``seen`` as late."""
    steps = tuple(
        msgspec.structs.replace(step, firing=msgspec.structs.replace(step.firing, late=True))
        if step.firing is not None and step.firing.ts_us < seen.at_us - LATE_US
        else step
        for step in change.steps
    )
    return msgspec.structs.replace(change, steps=steps)


def _notice(payload: str) -> TicksNotice | None:
    try:
        return decode_notice(payload)
    except WarehouseError as error:
        log.warning("notice of trades ignored", reason=str(error))
        return None


def _averages(payload: str) -> AveragesNotice | None:
    try:
        return decode_averages(payload)
    except WarehouseError as error:
        log.warning("notice of averages ignored", reason=str(error))
        return None
