"""Trades that were recovered: which rules they would have fired, had they come in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing

import msgspec
from psycopg import AsyncConnection

from app.alerts.machine import Machine
from app.alerts.warming import warm_prices, warm_windows
from coinwatch.alerts import Firing, Repeat, Rule, RuleState, Source, Step, Transition, leaves
from coinwatch.alerts import conditions as c
from coinwatch.records import Market
from warehouse.alert_history import last_prices, stretch
from warehouse.alert_looks import StoredTrade, trades_of_commit
from warehouse.notifications import MarketMove


class _Stretch:
    """For how long a rule was met, by all that is known now."""

    __slots__ = ("first_late", "is_told")

    def __init__(self) -> None:
        self.first_late: Firing | None = None
        self.is_told = False
        """By a late trade in it, of an earlier commit. Live told of none: it would be armed only since."""


class _Past:
    """Rules through a time gone by, as armed since before it."""

    def __init__(self, rules: Mapping[int, Rule], late: Collection[int]) -> None:
        self.due: dict[int, Firing] = {}
        """By rule, the first late trade of what it was not told of."""
        self._rules = rules
        self._late = late
        self._told = {tx for rule in rules.values() for tx in rule.state.late}
        self._met: dict[int, _Stretch] = {}

    @property
    def may_be_told(self) -> bool:
        """Whether a trade still to come may say that a rule was told."""
        return any(self._rules[rule_id].state.late for rule_id in self._met)

    def take(self, stored: StoredTrade, changes: Sequence[Transition]) -> None:
        """The next trade, and what it has made of the rules."""
        trade = stored.trade
        is_late = trade.trade_id in self._late
        for change in changes:
            rule_id = change.before.id
            if change.firings or not change.after.state.waiting:
                self._end(rule_id)
            if change.firings and rule_id not in self.due:
                met = self._met[rule_id] = _Stretch()
                met.first_late = change.firings[-1] if is_late else None
                met.is_told = stored.tx in self._rules[rule_id].state.late
                if not change.after.state.waiting or (is_late and not self._rules[rule_id].state.late):
                    self._end(rule_id)
        if is_late or stored.tx in self._told:
            for rule_id, met in self._met.items():
                rule = self._rules[rule_id]
                met.is_told = met.is_told or stored.tx in rule.state.late
                if is_late and met.first_late is None:
                    met.first_late = Firing(
                        rule, trade.market.exchange, trade.price, trade.ts_us, trade.trade_id
                    )

    def end(self) -> None:
        """Nothing more comes."""
        for rule_id in list(self._met):
            self._end(rule_id)

    def _end(self, rule_id: int) -> None:
        met = self._met.pop(rule_id, None)
        if met and met.first_late and not met.is_told:
            self.due.setdefault(rule_id, met.first_late)


async def late_transitions(
    conn: AsyncConnection, live: Machine, tx: int, market: Market, move: MarketMove, now_us: int
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
    past = Machine(lambda rule, cause: live_since[rule.id] <= cause.ts_us)
    told = _Past(rules, {trade.trade_id for trade in late})
    feed = past.meet(move.market_id, market)
    before = await last_prices(conn, [move.market_id], late[0].ts_us)
    begin_us = before[0].ts_us if before else late[0].ts_us
    await warm_prices(conn, past, [move.market_id], begin_us)
    for rule in rules.values():
        terms = rule.terms
        if terms.repeat is Repeat.ONCE:  # to see how long it was met
            terms = msgspec.structs.replace(terms, repeat=Repeat.EVERY)
        past.put(msgspec.structs.replace(rule, state=RuleState(), terms=terms), begin_us)
    await warm_windows(conn, past, begin_us, closed_us=begin_us)
    feed.seq = 0
    last_us = late[-1].ts_us
    until_us = max(now_us, last_us) if any(rule.state.late for rule in rules.values()) else last_us
    async with (
        conn.transaction(),
        aclosing(stretch(conn, [move.market_id], begin_us, until_us + 1)) as chunks,
    ):
        async for stored in _each(chunks):
            if stored.trade.ts_us > last_us and not told.may_be_told:
                break
            past.trade(feed, stored.trade, feed.seq + 1, stored.trade.ts_us)
            told.take(stored, past.drain())
    told.end()
    return [_transition(rules[rule_id], firing, tx, now_us) for rule_id, firing in told.due.items()]


async def _each(chunks: AsyncIterator[list[StoredTrade]]) -> AsyncIterator[StoredTrade]:
    async for chunk in chunks:
        for stored in chunk:
            yield stored


def _transition(rule: Rule, firing: Firing, tx: int, now_us: int) -> Transition:
    after = rule.fired_late(now_us, tx)
    after = msgspec.structs.replace(after, state_no=rule.state_no + 1)
    firing = msgspec.structs.replace(firing, rule=rule, late=True)
    return Transition(rule, (Step(after, "", tx, firing),))


def _concerned(live: Machine, tx: int, market: Market, move: MarketMove) -> dict[int, Rule]:
    feed = live.world.markets.get(move.market_id)
    if feed is None:
        return {}
    found = {rule.id: rule for rule in live.plain_within(feed, move.low, move.high)}
    for rule in live.watchers_of(market.symbol):
        if rule.exchange in (None, market.exchange) and _is_of_trades(rule) and not rule.state.waiting:
            found[rule.id] = rule
    return {
        rule.id: rule
        for rule in found.values()
        if rule.armed_since_us <= move.last_ts_us and tx not in rule.state.late
    }


def _is_of_trades(rule: Rule) -> bool:
    """Whether the trades of one market say all about it."""
    return rule.terms.confirmed_on == 1 and all(
        isinstance(leaf, c.Volume) or (isinstance(leaf, c._Priced) and leaf.source is Source.TRADE)
        for leaf in leaves(rule.condition)
    )
