"""What an endpoint missed, played in order: trades, averages and closed candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from math import inf

from psycopg import AsyncConnection

from app.alerts.evaluation.polled_inputs import PolledInputs
from app.alerts.rules.engine import Cause, RuleEngine
from app.alerts.rules.timeline import Event, Timeline
from coinwatch.alerts import Rule
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from warehouse.alerts.history import averages_within, first_open_gap_us
from warehouse.alerts.snapshots import CommitSnapshot, PriceRange, missed_trades

LATE_US = 10 * MINUTE_US
"""PriceRange trades are read from this long before the snapshot, or from an earlier stream gap that was open.

A candle may also be stored this long after it closed.
"""
AVERAGE_LATE_US = 10 * SECOND_US
"""An average may be stored this long after its time."""
LAG_US = 1 * SECOND_US
"""A trade stored after a rule was made may have a time this much before it."""


async def replay(
    conn: AsyncConnection,
    engine: RuleEngine,
    inputs: PolledInputs,
    seen: CommitSnapshot,
    now: CommitSnapshot,
    last_ts_us: Mapping[int, int],
) -> int:
    """Play what was committed from ``seen`` to ``now`` and return the number of trades.

    The clock of the engine runs by the times of the events, so that a condition has held as long as it did.

    Args:
        conn: In a transaction that sees ``now``.
        engine: As it was at ``seen``.
        inputs: As they were at ``seen``.
        seen: The last snapshot that was evaluated.
        now: The snapshot to catch up to.
        last_ts_us: The time of the last trade received, by market id.
    """

    def may_change(rule: Rule, cause: Cause) -> bool:
        # A trade was committed after the snapshot; an average or a close may have been evaluated before.
        is_trade = cause.feed.isdecimal()
        made_us = rule.created_at_us
        return (is_trade and made_us <= seen.at_us) or made_us <= cause.ts_us + LAG_US

    count = 0
    with engine.allowing(may_change):
        events = await _missed_averages(conn, engine, seen, now)
        events += await inputs.missed(conn, engine, now.at_us)
        timeline = Timeline(engine, events)
        wanted = await _wanted(conn, engine, seen, last_ts_us)
        async with aclosing(missed_trades(conn, seen, wanted)) as chunks:
            async for trades in chunks:
                for stored in trades:
                    series = engine.meet(stored.market_id, stored.trade.market)
                    timeline.trade(series, stored.trade, stored.tx)
                count += len(trades)
        timeline.advance(inf)
    engine.taken_through(now.ended_through)
    engine.tick(now.at_us)
    return count


async def _missed_averages(
    conn: AsyncConnection, engine: RuleEngine, seen: CommitSnapshot, now: CommitSnapshot
) -> list[Event]:
    """Averages since ``seen`` of the pairs that stateful rules watch."""
    since_us = seen.at_us - AVERAGE_LATE_US
    return [
        (ts_us, _average(engine, symbol, price, ts_us))
        for symbol in engine.market_state.pairs
        if any(True for _ in engine.stateful_rules_of(symbol))
        for ts_us, price in await averages_within(conn, symbol, since_us, now.at_us + SECOND_US)
    ]


def _average(engine: RuleEngine, symbol: Symbol, price: float, ts_us: int) -> Callable[[int], None]:
    return lambda now_us: engine.average(symbol, price, ts_us, now_us)


async def _wanted(
    conn: AsyncConnection, engine: RuleEngine, seen: CommitSnapshot, last_ts_us: Mapping[int, int]
) -> list[PriceRange]:
    gap_us = await first_open_gap_us(conn, seen.at_us - MINUTE_US) or seen.at_us
    wanted: list[PriceRange] = []
    for market_id, feed in engine.market_state.markets.items():
        at_or_below, at_or_above = engine.bounds(feed)
        if any(True for _ in engine.stateful_rules_of(feed.symbol)):
            at_or_above = 0.0
        if at_or_above < inf or at_or_below > -inf:
            since_us = min(seen.at_us, last_ts_us.get(market_id, seen.at_us)) - LATE_US
            wanted.append(PriceRange(market_id, min(since_us, gap_us), at_or_above, at_or_below))
    return wanted
