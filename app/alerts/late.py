"""Trades that were recovered: which rules they would have fired, had they come in time."""

from __future__ import annotations

from contextlib import aclosing

import msgspec
from psycopg import AsyncConnection

from app.alerts.machine import Cause, Machine
from app.alerts.warming import warm_prices, warm_windows
from coinwatch.alerts import Rule, RuleState, Source, Transition, leaves
from coinwatch.alerts import conditions as c
from coinwatch.records import Market
from warehouse.alert_history import stretch
from warehouse.alert_looks import trades_of_commit
from warehouse.notifications import MarketMove


async def late_transitions(
    conn: AsyncConnection, live: Machine, tx: int, market: Market, move: MarketMove, now_us: int
) -> list[Transition]:
    """What commit ``tx`` of late trades of one market makes of the rules in ``live``, which it leaves alone.

    The same engine looks at all that is stored of that time, with rules as they are armed since before
    it; only the late trades themselves fire.
    """
    rules = _concerned(live, tx, market, move)
    if not rules:
        return []
    late = await trades_of_commit(conn, tx, market, move)
    if not late:
        return []
    ids = {trade.trade_id for trade in late}

    def may_change(rule: Rule, cause: Cause) -> bool:
        return cause.trade_id in ids and live_since[rule.id] <= cause.ts_us

    live_since = {rule.id: rule.armed_since_us for rule in rules.values()}
    past = Machine(may_change)
    feed = past.meet(move.market_id, market)
    await warm_prices(conn, past, [move.market_id], late[0].ts_us)
    for rule in rules.values():
        past.put(msgspec.structs.replace(rule, state=RuleState()), late[0].ts_us)
    await warm_windows(conn, past, late[0].ts_us, closed_us=late[0].ts_us)
    feed.seq = 0
    async with (
        conn.transaction(),
        aclosing(stretch(conn, [move.market_id], late[0].ts_us, late[-1].ts_us + 1)) as chunks,
    ):
        async for chunk in chunks:
            for stored in chunk:
                past.trade(feed, stored.trade, stored.tx, stored.trade.ts_us)
    return [
        _transition(rules[change.before.id], change, tx, now_us) for change in past.drain() if change.firings
    ]


def _transition(rule: Rule, change: Transition, tx: int, now_us: int) -> Transition:
    after = rule.fired_late(now_us, tx)
    firing = msgspec.structs.replace(change.firings[0], rule=rule, late=True)
    after = msgspec.structs.replace(after, state_no=rule.state_no + 1)
    return Transition(rule, after, "", tx, (firing,))


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
