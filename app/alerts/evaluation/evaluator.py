"""From a commit of trades to claimed alerts.

Everything is taken in the order of commits, from one LISTEN connection: a rule is known before the
first commit after it is looked at. What was not heard (the connection was lost, the endpoint was down)
is read from the warehouse by what was committed since the last look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import groupby
from math import inf

import msgspec
import structlog
from psycopg import AsyncConnection, Notify

from app.alerts.catalogue import Catalogue
from app.alerts.connections.fanout import SocketFanout
from app.alerts.evaluation.catch_up import AVERAGE_LATE_US, LATE_US, replay
from app.alerts.evaluation.late_trades import late_transitions
from app.alerts.evaluation.notify_queue import Inbox
from app.alerts.evaluation.polled_inputs import Readings
from app.alerts.evaluation.progress import Progress
from app.alerts.evaluation.warm_up import warm_average, warm_prices, warm_windows
from app.alerts.metrics import Metrics
from app.alerts.rules.engine import RuleEngine, is_single_threshold
from app.alerts.rules.market_state import PriceSeries
from coinwatch.alerts import Rule, Transition
from coinwatch.errors import WarehouseError
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
TICK_S = 1.0
"""How often what is due by the clock is looked at."""
CLAIM_AT_ONCE = 1_000

CHANNELS = (TICKS, TICKS_LATE, ALERT_RULES, AVERAGES, CANDLES)

log = structlog.get_logger(__name__)


class Evaluator:
    """Looks at every commit and claims what comes of it for the rules."""

    def __init__(
        self,
        database: Database,
        claims: Database,
        inbox: Inbox,
        catalogue: Catalogue,
        marks: Progress,
        delivery: SocketFanout,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._claims = claims
        self._inbox = inbox
        self._catalogue = catalogue
        self._marks = marks
        self._delivery = delivery
        self._metrics = metrics
        self._machine = RuleEngine()
        self._readings = Readings()
        self._last_ts_us: dict[int, int] = {}
        self._ticked_at = -inf
        self._begun: CommitSnapshot | None = None
        """What was taken of markets that nothing was heard of since."""

    def __len__(self) -> int:
        """How many rules are watched for."""
        return len(self._machine)

    async def run(self) -> None:
        """Work for ever. When Postgres is away, wait for it and read what was missed."""
        while True:
            await self._inbox.started()
            try:
                await self._catch_up()
                while (notifies := await self._inbox.take(TICK_S)) is not None:
                    await self._work(notifies)
                    if time.monotonic() - self._ticked_at >= TICK_S:
                        await self._tick()
            except WarehouseError as error:
                log.warning("alerts wait for Postgres", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _work(self, notifies: Sequence[Notify]) -> None:
        for channel, group in groupby(notifies, key=lambda notify: notify.channel):
            payloads = [notify.payload for notify in group]
            if channel == TICKS:
                await self._look_at([notice for one in payloads if (notice := _notice(one))])
            elif channel == TICKS_LATE:
                await self._look_back_at([notice for one in payloads if (notice := _notice(one))])
            elif channel == ALERT_RULES:
                await self._learn({int(one) for one in payloads if one.isdecimal()})
            elif channel == AVERAGES:
                await self._average([told for one in payloads if (told := _averages(one))])
            elif channel == CANDLES:
                self._readings.told_of_candles(payloads)
            elif payloads[-1].isdecimal():
                # Should this endpoint end, the next one goes on from here: by then all is stored.
                await self._tick()
                self._marks.acknowledge(int(payloads[-1]))

    async def _learn(self, rule_ids: set[int]) -> None:
        async with self._database.use() as conn:
            await self._read_again(conn, rule_ids)

    async def _read_again(self, conn: AsyncConnection, rule_ids: set[int]) -> dict[int, Rule]:
        if not rule_ids:
            return {}
        rules = await rules_by_id(conn, rule_ids)
        now_us = self._marks.now_us()
        symbols = {rule.symbol for rule in rules.values() if not is_single_threshold(rule, now_us)}
        unheard = [
            feed.market_id
            for symbol in symbols
            for feed in self._machine.world.pair(symbol).markets.values()
            if feed.last is None
        ]
        if unheard:
            await warm_prices(conn, self._machine, unheard, now_us + MINUTE_US, self._begun)
        for rule_id in rule_ids:
            if rule := rules.get(rule_id):
                self._machine.put(rule, now_us)
            else:
                self._machine.remove(rule_id)
        if symbols:
            await self._warm(conn)
        return rules

    async def _look_at(self, notices: Sequence[TicksNotice]) -> None:
        for notice in notices:
            if self._marks.looked and self._marks.looked.sees(notice.tx):
                continue
            heard = time.perf_counter()
            for feed, trade in await self._trades_that_matter(notice):
                self._machine.trade(feed, trade, notice.tx, self._marks.now_us())
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
            is_new = move.market_id not in self._machine.world.markets
            feed = self._machine.meet(move.market_id, market)
            if is_new:
                async with self._database.use() as conn:
                    await self._warm(conn)
            if not self._machine.needs_trades(feed, move.low, move.high, move.last_ts_us):
                self._machine.moved(feed, move.last, move.last_ts_us, notice.tx)
            elif move.count == 1:
                matter.append((feed, _only_trade(market, move)))
            else:
                async with self._database.use() as conn:
                    trades = await trades_of_commit(conn, notice.tx, market, move)
                matter += [(feed, trade) for trade in trades]
        return sorted(matter, key=lambda one: (one[1].ts_us, one[0].market_id))

    async def _look_back_at(self, notices: Sequence[TicksNotice]) -> None:
        """Trades that were recovered fire what was armed at their time, and change nothing live."""
        for notice in notices:
            if self._marks.looked and self._marks.looked.sees(notice.tx):
                continue
            for move in notice.moves:
                if market := await self._market(move.market_id):
                    await self._tell_late(notice.tx, market, move)

    async def _tell_late(self, tx: int, market: Market, move: MarketMove) -> None:
        lost = True
        while lost:  # what comes of it for a rule as it is now is to be asked again
            now_us = self._marks.now_us()
            async with self._database.use() as conn:
                changes = await late_transitions(conn, self._machine, tx, market, move, now_us)
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
        now_us = self._marks.now_us()
        self._machine.pass_to(now_us)
        for notice in notices:
            for one in notice.averages:
                self._machine.average(Symbol(one.base, one.quote), one.price, notice.ts_us, now_us)
        await self._claim()

    async def _tick(self) -> None:
        self._ticked_at = time.monotonic()
        now_us = self._marks.now_us()
        if self._marks.looked:
            self._machine.taken_through(self._marks.looked.ended_through)
        self._machine.pass_to(now_us)
        async with self._database.use() as conn:
            await self._readings.poll(conn, self._machine, now_us)
        self._machine.tick(now_us)
        await self._claim()
        self._machine.tidy()
        self._readings.tidy(self._machine)

    async def _claim(self) -> bool:
        changes = self._machine.drain()
        await self._claim_all(changes)
        return bool(changes)

    async def _claim_all(self, changes: Sequence[Transition]) -> None:
        for part in _portions(changes):
            while part:
                lost = await self._claim_once(part)
                part = [again for change, now in lost if (again := change.onto(now))]

    async def _claim_once(self, changes: Sequence[Transition]) -> list[tuple[Transition, Rule]]:
        """Claim; returns what was not won, each with its rule as somebody else has left it."""
        async with self._claims.use() as claiming:
            with self._delivery.claiming():
                claimed = await claim(claiming, changes)
                self._delivery.stored(claimed.alerts)
        self._keep([change for change in changes if change.before.id in claimed.ids])
        lost = [change for change in changes if change.before.id not in claimed.ids]
        self._metrics.claimed.inc(len(claimed.ids))
        self._metrics.lost_claims.inc(len(lost))
        if not lost:
            return []
        async with self._database.use() as conn:
            now = await self._read_again(conn, {change.before.id for change in lost})
        return [(change, now[change.before.id]) for change in lost if change.before.id in now]

    def _keep(self, claimed: Sequence[Transition]) -> None:
        """Hold what was claimed in the machine, where that does not yet."""
        for change in claimed:
            held = self._machine.get(change.after.id)
            if held is not change.after and (held or change.after.armed):
                self._machine.put(change.after, self._marks.now_us())

    async def _warm(self, conn: AsyncConnection) -> None:
        now_us = self._marks.now_us()
        await warm_windows(
            conn, self._machine, now_us + MINUTE_US, self._begun, closed_us=now_us, is_live=True
        )
        await self._readings.start(conn, self._machine, now_us, now_us)

    async def _catch_up(self) -> None:
        """Read the rules anew, and fire those that what was committed since the last look meets."""
        self._metrics.catch_ups.inc()
        missed = 0
        async with self._database.use() as conn, consistent_reads(conn) as now:
            self._marks.told(now)
            self._catalogue.update(await known_markets(conn))
            seen = self._marks.looked or await last_snapshot(conn)
            await self._begin(conn, now, seen)
            if seen:
                missed = await replay(conn, self._machine, self._readings, seen, now, self._last_ts_us)
        changes = self._machine.drain()
        if seen:
            changes = [_told_late(change, seen) for change in changes]
        await self._claim_all(changes)
        self._marks.caught_up(now)
        log.info("looking at every commit", rules=len(self), missed_trades=missed, changed=len(changes))

    async def _begin(self, conn: AsyncConnection, now: CommitSnapshot, seen: CommitSnapshot | None) -> None:
        """A new machine, as it was at ``seen`` (None: as it is now)."""
        self._machine.end()
        self._machine = machine = RuleEngine()
        self._begun = now
        self._readings = Readings()
        for market_id, market in self._catalogue.ids().items():
            machine.meet(market_id, market)
        at_us = seen.at_us if seen else now.at_us
        waiting: list[Rule] = []
        async with aclosing(armed_rules(conn)) as portions:
            async for rules in portions:
                for rule in rules:
                    if is_single_threshold(rule, at_us):
                        machine.put(rule, at_us)
                    else:
                        waiting.append(rule)
                await asyncio.sleep(0)
        machine.taken_through((seen or now).ended_through)
        symbols = {rule.symbol for rule in waiting}
        ids = [feed.market_id for feed in machine.world.markets.values() if feed.symbol in symbols]
        await warm_prices(conn, machine, ids, now.at_us + MINUTE_US, seen)
        for symbol in symbols:
            await warm_average(conn, machine, symbol, at_us - AVERAGE_LATE_US if seen else at_us)
        for rule in waiting:
            machine.put(rule, at_us)
        closed_us = at_us - LATE_US if seen else at_us
        await warm_windows(conn, machine, now.at_us + MINUTE_US, seen, closed_us=closed_us)
        await self._readings.start(conn, machine, at_us, closed_us)


def _only_trade(market: Market, move: MarketMove) -> Trade:
    """The trade of a move of one, which tells all of it that a condition asks for: none asks who took."""
    return Trade(market, move.first_id, move.last_ts_us, move.last, move.volume, taker_buys=True)


def _portions(changes: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    for start in range(0, len(changes), CLAIM_AT_ONCE):
        yield changes[start : start + CLAIM_AT_ONCE]


def _told_late(change: Transition, seen: CommitSnapshot) -> Transition:
    """Firings by trades from before what was seen already are late."""
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
        log.warning("ignored on a channel of ticks", reason=str(error))
        return None


def _averages(payload: str) -> AveragesNotice | None:
    try:
        return decode_averages(payload)
    except WarehouseError as error:
        log.warning("ignored on the channel averages", reason=str(error))
        return None
