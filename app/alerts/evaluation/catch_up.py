"""What an endpoint did not hear of, taken in its turn: trades, averages and closed candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from math import inf
from operator import itemgetter
from typing import TypeAlias

from psycopg import AsyncConnection

from app.alerts.evaluation.polled_inputs import Readings
from app.alerts.rules.engine import Cause, RuleEngine
from coinwatch.alerts import Rule
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from warehouse.alerts.history import averages_within, first_open_gap_us
from warehouse.alerts.snapshots import CommitSnapshot, Missed, missed_trades

LATE_US = 10 * MINUTE_US
"""Missed trades are looked for among those not older than this, or than an interruption that was open.

So much older may a candle be, too, that is stored after a look.
"""
AVERAGE_LATE_US = 10 * SECOND_US
"""So much older may an average be that is stored after a look."""
LAG_US = 1 * SECOND_US
"""A trade stored after a rule was made may bear a time this much before it."""

_News: TypeAlias = tuple[int, Callable[[int], None]]
"""When something other than a trade became known, and what tells it at a time of the database's clock."""


async def replay(
    conn: AsyncConnection,
    machine: RuleEngine,
    readings: Readings,
    seen: CommitSnapshot,
    now: CommitSnapshot,
    last_ts_us: Mapping[int, int],
) -> int:
    """Take what was committed from ``seen`` to ``now``; returns how many trades that were.

    ``machine`` and ``readings`` are as they were at ``seen``. ``last_ts_us``: by market id, of the last trade
    that was heard of. Times stand for the database's clock, so that what has held has held by them.
    """

    def may_change(rule: Rule, cause: Cause) -> bool:
        # A trade is committed after the look; an average or a close may only be looked at again.
        is_trade = cause.feed.isdecimal()
        made_us = rule.created_at_us
        return (is_trade and made_us <= seen.at_us) or made_us <= cause.ts_us + LAG_US

    machine.allow = may_change
    news = await _missed_averages(conn, machine, seen, now)
    news += await readings.missed(conn, machine, now.at_us)
    news = sorted(news, key=itemgetter(0))[::-1]
    count = 0
    async with aclosing(missed_trades(conn, seen, await _wanted(conn, machine, seen, last_ts_us))) as chunks:
        async for trades in chunks:
            for stored in trades:
                trade = stored.trade
                while news and news[-1][0] <= trade.ts_us:
                    _tell(machine, news)
                feed = machine.meet(stored.market_id, trade.market)
                machine.trade(feed, trade, stored.tx, trade.ts_us)
            count += len(trades)
    while news:
        _tell(machine, news)
    machine.allow = None
    machine.taken_through(now.ended_through)
    machine.tick(now.at_us)
    return count


def _tell(machine: RuleEngine, news: list[_News]) -> None:
    ts_us, tell = news.pop()
    machine.pass_to(ts_us)
    tell(ts_us)


async def _missed_averages(
    conn: AsyncConnection, machine: RuleEngine, seen: CommitSnapshot, now: CommitSnapshot
) -> list[_News]:
    """Averages since ``seen`` of pairs that somebody watches."""
    since_us = seen.at_us - AVERAGE_LATE_US
    return [
        (ts_us, _average(machine, symbol, price, ts_us))
        for symbol in machine.world.pairs
        if any(True for _ in machine.watchers_of(symbol))
        for ts_us, price in await averages_within(conn, symbol, since_us, now.at_us + SECOND_US)
    ]


def _average(machine: RuleEngine, symbol: Symbol, price: float, ts_us: int) -> Callable[[int], None]:
    return lambda now_us: machine.average(symbol, price, ts_us, now_us)


async def _wanted(
    conn: AsyncConnection, machine: RuleEngine, seen: CommitSnapshot, last_ts_us: Mapping[int, int]
) -> list[Missed]:
    gap_us = await first_open_gap_us(conn, seen.at_us - MINUTE_US) or seen.at_us
    wanted: list[Missed] = []
    for market_id, feed in machine.world.markets.items():
        at_or_below, at_or_above = machine.bounds(feed)
        if any(True for _ in machine.watchers_of(feed.symbol)):
            at_or_above = 0.0
        if at_or_above < inf or at_or_below > -inf:
            since_us = min(seen.at_us, last_ts_us.get(market_id, seen.at_us)) - LATE_US
            wanted.append(Missed(market_id, min(since_us, gap_us), at_or_above, at_or_below))
    return wanted
