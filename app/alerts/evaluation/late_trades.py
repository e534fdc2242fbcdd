"""Trades that were recovered: which rules they would have fired, had they come in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing

import msgspec
from psycopg import AsyncConnection

from app.alerts.evaluation.warm_up import warm_prices, warm_windows
from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.timeline import Timeline
from coinwatch.alerts import Firing, Repeat, Rule, RuleState, Step, Transition
from coinwatch.alerts.conditions import needs_one_market_only
from coinwatch.records import Market
from coinwatch.times import MINUTE_US
from warehouse.alerts.history import last_prices, stretch
from warehouse.alerts.snapshots import StoredTrade, trades_of_commit
from warehouse.db.notifications import MarketMove

LOOKED_BACK_US = 60 * MINUTE_US
"""A stretch is seen as one with a late trade told before, if that was not longer ago than this."""


class MetPeriod:
    """For how long a rule was met, by all that is known now."""

    __slots__ = ("first_late", "is_told")

    def __init__(self) -> None:
        self.first_late: Firing | None = None
        self.is_told = False
        """By a late trade in it, of an earlier commit."""


class LateReplay:
    """Rules through a time gone by, as armed since before it."""

    def __init__(self, rules: Mapping[int, Rule], late: Collection[int]) -> None:
        self.due: dict[int, list[Firing]] = {}
        """By rule, the first late trade of each stretch that it was not told of."""
        self._rules = dict(rules)
        self._late = late
        self._told = {told for rule in rules.values() for told in rule.state.late_firings}
        self._met: dict[int, MetPeriod] = {}
        waiting = [rule for rule in rules.values() if rule.state.waiting]
        self._waiting = sorted(((rule.state.fired_ts_us or 0, rule.id) for rule in waiting), reverse=True)
        """When live has told those that wait since, the first of them last."""

    @property
    def may_be_told(self) -> bool:
        """Whether a trade still to come may say that a rule was told."""
        return any(_may_be_told(self._rules[rule_id]) for rule_id in self._met)

    def take(self, stored: StoredTrade, changes: Sequence[Transition]) -> None:
        """The next trade, and what it has made of the rules."""
        trade = stored.trade
        is_late = trade.trade_id in self._late
        told = str(stored.market_id), stored.tx, trade.ts_us
        self._end_waiting(trade.ts_us)
        fired = [change for change in changes if change.before.id in self._rules and change.firings]
        for change in changes:
            if change.firings or not change.after.state.waiting:
                self._end(change.before.id)
        for change in fired:
            met = self._met[change.before.id] = MetPeriod()
            met.first_late = change.firings[-1] if is_late else None
        if is_late or told in self._told:
            for rule_id, met in self._met.items():
                rule = self._rules[rule_id]
                met.is_told = met.is_told or told in rule.state.late_firings
                if is_late and met.first_late is None:
                    met.first_late = Firing(
                        rule, trade.market.exchange, trade.price, trade.ts_us, trade.trade_id
                    )
        for change in fired:
            rule = self._rules[change.before.id]
            if not change.after.state.waiting or (is_late and not _may_be_told(rule)):
                self._end(rule.id)

    def end(self) -> None:
        """Nothing more comes."""
        for rule_id in list(self._met):
            if not self._rules[rule_id].state.waiting:
                self._end(rule_id)

    def _end_waiting(self, ts_us: int) -> None:
        """Before ``ts_us``, live told of stretches that are not over, and nothing was to be told since."""
        while self._waiting and self._waiting[-1][0] < ts_us:
            _, rule_id = self._waiting.pop()
            self._met.pop(rule_id, None)
            del self._rules[rule_id]

    def _end(self, rule_id: int) -> None:
        met = self._met.pop(rule_id, None)
        if met and met.first_late and not met.is_told:
            self.due.setdefault(rule_id, []).append(met.first_late)


async def late_transitions(
    conn: AsyncConnection, live: RuleEngine, tx: int, market: Market, move: MarketMove, now_us: int
) -> list[Transition]:
    """What commit ``tx`` of late trades of one market makes of the rules in ``live``, which it leaves alone.

    The same engine looks at all that is stored of that time, with rules as they are armed since before
    it. A rule is told of the first late trade of a stretch in which it was met, once for each stretch,
    however many commits its trades came in.
    """
    rules = _concerned(live, tx, market, move)
    if not rules:
        return []
    late = await trades_of_commit(conn, tx, market, move)
    if not late:
        return []
    live_since = {rule.id: rule.armed_since_us for rule in rules.values()}
    past = RuleEngine(lambda rule, cause: live_since[rule.id] <= cause.ts_us)
    told = LateReplay(rules, {trade.trade_id for trade in late})
    feed = past.meet(move.market_id, market)
    first_us, last_us = _first_us(rules, feed.key, late[0].ts_us), late[-1].ts_us
    before = await last_prices(conn, [move.market_id], first_us)
    begin_us = before[0].ts_us if before else first_us
    await warm_prices(conn, past, [move.market_id], begin_us)
    for rule in rules.values():
        terms = rule.terms
        if terms.repeat is Repeat.ONCE:  # to see how long it was met
            terms = msgspec.structs.replace(terms, repeat=Repeat.EVERY)
        past.put(msgspec.structs.replace(rule, state=RuleState(), terms=terms), begin_us)
    await warm_windows(conn, past, begin_us, closed_us=begin_us)
    past.number_anew()
    timeline = Timeline(past)
    until_us = max(now_us, last_us) if any(map(_may_be_told, rules.values())) else last_us
    async with (
        conn.transaction(),
        aclosing(stretch(conn, [move.market_id], begin_us, until_us + 1)) as chunks,
    ):
        async for stored in _each(chunks):
            if stored.trade.ts_us > last_us and not told.may_be_told:
                break
            timeline.trade(feed, stored.trade)
            told.take(stored, past.drain())
    told.end()
    return [
        _transition(rules[rule_id], firings, feed.key, tx, now_us) for rule_id, firings in told.due.items()
    ]


def _first_us(rules: Mapping[int, Rule], feed: str, late_us: int) -> int:
    """Where to begin: at the first late trade, or at one told before that may be of the same stretch."""
    fired_us = [
        ts_us
        for rule in rules.values()
        for told_feed, _, ts_us in rule.state.late_firings
        if told_feed == feed
    ]
    return min((ts_us for ts_us in fired_us if late_us - LOOKED_BACK_US <= ts_us < late_us), default=late_us)


async def _each(chunks: AsyncIterator[list[StoredTrade]]) -> AsyncIterator[StoredTrade]:
    async for chunk in chunks:
        for stored in chunk:
            yield stored


def _transition(rule: Rule, firings: Sequence[Firing], feed: str, tx: int, now_us: int) -> Transition:
    steps: list[Step] = []
    after = msgspec.structs.replace(rule, state_no=rule.state_no + 1)
    for firing in firings:
        if after.armed and not after.state.paused:
            after = after.fired_late(now_us, feed, tx, firing.ts_us)
            steps.append(Step(after, "", tx, msgspec.structs.replace(firing, rule=rule, late=True)))
    return Transition(rule, tuple(steps))


def _concerned(live: RuleEngine, tx: int, market: Market, move: MarketMove) -> dict[int, Rule]:
    feed = live.world.markets.get(move.market_id)
    if feed is None:
        return {}
    found = {rule.id: rule for rule in live.plain_within(feed, move.low, move.high)}
    for rule in live.watchers_of(market.symbol):
        waits_for_candle = rule.state.waiting and rule.terms.repeat is Repeat.CANDLE
        if rule.exchange in (None, market.exchange) and _is_of_trades(rule) and not waits_for_candle:
            found[rule.id] = rule
    return {
        rule.id: rule
        for rule in found.values()
        if rule.armed_since_us <= move.last_ts_us and not rule.state.has_fired_late_on(feed.key, tx)
    }


def _may_be_told(rule: Rule) -> bool:
    """Whether any trade may have told of it since it was armed."""
    return bool(rule.state.late_firings) or rule.state.waiting


def _is_of_trades(rule: Rule) -> bool:
    """Whether the trades of one market say all about it."""
    return rule.terms.confirmed_on == 1 and needs_one_market_only(rule.condition)
