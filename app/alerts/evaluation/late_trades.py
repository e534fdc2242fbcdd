"""Recovered trades: which rules they would have fired if they had come in time."""

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
"""A late trade reported up to so long before may be of the same met period."""


class MetPeriod:
    """A period in which the condition of a rule was met, by all that is stored now."""

    __slots__ = ("first_late", "is_reported")

    def __init__(self) -> None:
        self.first_late: Firing | None = None
        self.is_reported = False
        """Whether a late trade in it, of an earlier commit, was reported."""


class LateReplay:
    """The met periods of rules through a past time, as if they were armed since before it."""

    def __init__(self, rules: Mapping[int, Rule], late: Collection[int]) -> None:
        self.due: dict[int, list[Firing]] = {}
        """By rule id, the first late trade of each met period that is not reported yet."""
        self._rules = dict(rules)
        self._late = late
        self._reported = {key for rule in rules.values() for key in rule.state.late_firings}
        self._met: dict[int, MetPeriod] = {}
        waiting = [rule for rule in rules.values() if rule.state.waiting]
        self._waiting = sorted(((rule.state.fired_ts_us or 0, rule.id) for rule in waiting), reverse=True)
        """When the rules that wait have fired live, the first of them last."""

    @property
    def may_be_reported(self) -> bool:
        """Whether a later trade may show that a period was reported."""
        return any(_may_be_reported(self._rules[rule_id]) for rule_id in self._met)

    def take(self, stored: StoredTrade, changes: Sequence[Transition]) -> None:
        """Take the next trade, and the transitions it caused."""
        trade = stored.trade
        is_late = trade.trade_id in self._late
        key = str(stored.market_id), stored.tx, trade.ts_us
        self._end_waiting(trade.ts_us)
        fired = [change for change in changes if change.before.id in self._rules and change.firings]
        for change in changes:
            if change.firings or not change.after.state.waiting:
                self._end(change.before.id)
        for change in fired:
            met = self._met[change.before.id] = MetPeriod()
            met.first_late = change.firings[-1] if is_late else None
        if is_late or key in self._reported:
            for rule_id, met in self._met.items():
                rule = self._rules[rule_id]
                met.is_reported = met.is_reported or key in rule.state.late_firings
                if is_late and met.first_late is None:
                    met.first_late = Firing(
                        rule, trade.market.exchange, trade.price, trade.ts_us, trade.trade_id
                    )
        for change in fired:
            rule = self._rules[change.before.id]
            if not change.after.state.waiting or (is_late and not _may_be_reported(rule)):
                self._end(rule.id)

    def end(self) -> None:
        """End the periods that are open: no more trades come."""
        for rule_id in list(self._met):
            if not self._rules[rule_id].state.waiting:
                self._end(rule_id)

    def _end_waiting(self, ts_us: int) -> None:
        """Drop the rules that fired live before ``ts_us`` and have waited since."""
        while self._waiting and self._waiting[-1][0] < ts_us:
            _, rule_id = self._waiting.pop()
            self._met.pop(rule_id, None)
            del self._rules[rule_id]

    def _end(self, rule_id: int) -> None:
        met = self._met.pop(rule_id, None)
        if met and met.first_late and not met.is_reported:
            self.due.setdefault(rule_id, []).append(met.first_late)


async def late_transitions(
    conn: AsyncConnection, live: RuleEngine, tx: int, market: Market, move: MarketMove, now_us: int
) -> list[Transition]:
    """The transitions that commit ``tx`` of late trades of a market causes. ``live`` is left unchanged.

    Another engine is played over everything stored of that time, with the rules as if they were armed since
    before it. A rule reports the first late trade of each period in which it was met, once a period, in
    however many commits its trades came.
    """
    rules = _concerned(live, tx, market, move)
    if not rules:
        return []
    late = await trades_of_commit(conn, tx, market, move)
    if not late:
        return []
    live_since = {rule.id: rule.armed_since_us for rule in rules.values()}
    past = RuleEngine(lambda rule, cause: live_since[rule.id] <= cause.ts_us)
    late_replay = LateReplay(rules, {trade.trade_id for trade in late})
    feed = past.meet(move.market_id, market)
    first_us, last_us = _first_us(rules, feed.key, late[0].ts_us), late[-1].ts_us
    before = await last_prices(conn, [move.market_id], first_us)
    begin_us = before[0].ts_us if before else first_us
    await warm_prices(conn, past, [move.market_id], begin_us)
    for rule in rules.values():
        terms = rule.terms
        if terms.repeat is Repeat.ONCE:  # so that each met period ends
            terms = msgspec.structs.replace(terms, repeat=Repeat.EVERY)
        past.put(msgspec.structs.replace(rule, state=RuleState(), terms=terms), begin_us)
    await warm_windows(conn, past, begin_us, closed_us=begin_us)
    past.restart_numbering()
    timeline = Timeline(past)
    until_us = max(now_us, last_us) if any(map(_may_be_reported, rules.values())) else last_us
    async with (
        conn.transaction(),
        aclosing(stretch(conn, [move.market_id], begin_us, until_us + 1)) as chunks,
    ):
        async for stored in _each(chunks):
            if stored.trade.ts_us > last_us and not late_replay.may_be_reported:
                break
            timeline.trade(feed, stored.trade)
            late_replay.take(stored, past.drain())
    late_replay.end()
    return [
        _transition(rules[rule_id], firings, feed.key, tx, now_us)
        for rule_id, firings in late_replay.due.items()
    ]


def _first_us(rules: Mapping[int, Rule], feed: str, late_us: int) -> int:
    """Where to start: at the first late trade, or at one reported before that may be of the same period."""
    reported_us = [
        ts_us for rule in rules.values() for series, _, ts_us in rule.state.late_firings if series == feed
    ]
    return min(
        (ts_us for ts_us in reported_us if late_us - LOOKED_BACK_US <= ts_us < late_us), default=late_us
    )


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
    feed = live.market_state.markets.get(move.market_id)
    if feed is None:
        return {}
    concerned = {rule.id: rule for rule in live.triggers_within(feed, move.low, move.high)}
    for rule in live.stateful_rules_of(market.symbol):
        waits_for_candle = rule.state.waiting and rule.terms.repeat is Repeat.CANDLE
        if rule.exchange in (None, market.exchange) and _is_of_trades(rule) and not waits_for_candle:
            concerned[rule.id] = rule
    return {
        rule.id: rule
        for rule in concerned.values()
        if rule.armed_since_us <= move.last_ts_us and not rule.state.has_fired_late_on(feed.key, tx)
    }


def _may_be_reported(rule: Rule) -> bool:
    """Whether a trade may have been reported since it was armed."""
    return bool(rule.state.late_firings) or rule.state.waiting


def _is_of_trades(rule: Rule) -> bool:
    """Whether the trades of one market decide alone whether it is met."""
    return rule.terms.confirmed_on == 1 and needs_one_market_only(rule.condition)
