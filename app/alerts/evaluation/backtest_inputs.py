"""What a backtest reads before it plays: the state at its start, events other than trades, its coverage."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import msgspec
from psycopg import AsyncConnection

from app.alerts.evaluation.coverage import CoverageSource, whole_steps
from app.alerts.evaluation.polled_inputs import MOST_CLOSES, apply_close, apply_failure, candles_of
from app.alerts.evaluation.warm_up import warm_average, warm_prices, warm_windows
from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.timeline import Event, Timeline
from coinwatch.alerts import Repeat, Rule, Source, leaves
from coinwatch.alerts.conditions import (
    Condition,
    compared_exchanges,
    declaration,
    is_met_by_trades,
    needs_average,
    needs_events,
    source_of,
)
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, MINUTE_US
from coinwatch.windows import Window, merge, subtract
from warehouse.alerts.candle_history import average_minutes, candle_windows
from warehouse.alerts.history import Close, averages_within, closes
from warehouse.alerts.job_failures import JobFailure, failures_within
from warehouse.alerts.trade_history import last_trades_since_us, whole_windows
from warehouse.markets import known_markets

MOST_TRADES = 300_000
"""A rule that needs every trade is played over the last so many; candles stand in before them."""
EXACT_AVERAGES_US = 2 * DAY_US
"""Averages older than this are played by the lowest and highest of each minute."""


class NoHistory(CoinwatchError):
    """A condition whose past is not stored."""


class Inputs(msgspec.Struct):
    """A rule at the start of a window, and what to play on it."""

    engine: RuleEngine
    timeline: Timeline
    market_ids: list[int]
    """The markets whose trades are played."""
    trades_since_us: int
    """No trade before this is played."""
    candles: dict[int, list[Window]]
    """By market id, the whole minutes in which candles stand in for trades."""
    sources: list[CoverageSource]
    """What the rule depends on, and where that is stored."""


def refuse_unstored(condition: Condition) -> None:
    """Raise NoHistory where the past of ``condition`` is not stored."""
    for leaf in leaves(condition):
        if declaration(leaf).is_polled:
            raise NoHistory(f"the past of {declaration(leaf).type} is not stored")


async def read_inputs(conn: AsyncConnection, rule: Rule, window: Window) -> Inputs:
    """The state of ``rule`` at the start of ``window``, and its inputs within it.

    Call it inside a transaction that sees one moment.
    """
    engine = RuleEngine()
    exchanges = {
        market.id: market.market.exchange
        for market in await known_markets(conn)
        if market.market.symbol == rule.symbol
        and (_depends_on(rule, market.market.exchange) or _rearms_on_any_market(rule))
        and engine.meet(market.id, market.market)
    }
    await _begin(conn, engine, rule, list(exchanges), window.start_us)
    sources: list[CoverageSource] = []
    events = await _averages(conn, engine, rule, window, sources)
    events += await _closes(conn, engine, window, sources)
    events += await _failures(conn, engine, rule, window)
    inputs = Inputs(engine, Timeline(engine, events), [], window.start_us, {}, sources)
    if not _ignores_trades(rule):
        await _add_trades(conn, inputs, rule, exchanges, window)
    return inputs


async def _begin(
    conn: AsyncConnection, engine: RuleEngine, rule: Rule, market_ids: Collection[int], start_us: int
) -> None:
    await warm_prices(conn, engine, market_ids, start_us)
    await warm_average(conn, engine, rule.symbol, start_us)
    engine.put(rule, start_us)
    await warm_windows(conn, engine, start_us, closed_us=start_us - 1)
    engine.restart_numbering()


async def _add_trades(
    conn: AsyncConnection, inputs: Inputs, rule: Rule, exchanges: Mapping[int, str], window: Window
) -> None:
    """Choose, minute by minute, between the trades and the candles of each market."""
    ids = inputs.market_ids = list(exchanges)
    if inputs.engine.needs_every_trade(rule.symbol):
        inputs.trades_since_us = await last_trades_since_us(conn, ids, window, MOST_TRADES)
    since_us = min(-(-inputs.trades_since_us // MINUTE_US) * MINUTE_US, window.end_us)
    if inputs.trades_since_us > window.start_us:
        inputs.trades_since_us = since_us
    traded = await whole_windows(conn, ids, window)
    candles = await candle_windows(conn, ids, window)
    needed = (
        set(compared_exchanges(rule.condition)) if rule.terms.confirmed_on == 1 else set(exchanges.values())
    )
    by_market: dict[int, CoverageSource] = {}
    for market_id in ids:
        trades = _since(traded[market_id], inputs.trades_since_us)
        # The minute of the last trade is one of trades, though its rest is not stored yet.
        last = [Window(part.start_us, -(-part.end_us // MINUTE_US) * MINUTE_US) for part in trades[-1:]]
        by_trades = whole_steps([*trades[:-1], *last], MINUTE_US)
        stand_ins = subtract(whole_steps(candles[market_id], MINUTE_US), by_trades)
        inputs.candles[market_id] = stand_ins
        if _depends_on(rule, exchanges[market_id]):
            by_market[market_id] = CoverageSource(subtract(trades, stand_ins), stand_ins)
    if not is_met_by_trades(rule.condition):
        return
    stored = {
        market_id: source
        for market_id, source in by_market.items()
        if source.trades or source.candles or exchanges[market_id] in needed
    }
    # A market that was never collected in all that time would not have been watched either.
    inputs.sources += (stored or by_market).values() if by_market else [CoverageSource(())]


def _depends_on(rule: Rule, exchange: str) -> bool:
    """Whether prices on an exchange can meet the rule's condition."""
    return rule.exchange in (None, exchange, *compared_exchanges(rule.condition))


def _rearms_on_any_market(rule: Rule) -> bool:
    """Whether a trade of any market of the pair can start the candle that rearms the rule, as live."""
    return rule.terms.repeat is Repeat.CANDLE and is_met_by_trades(rule.condition)


def _since(windows: Sequence[Window], since_us: int) -> list[Window]:
    return [
        Window(max(window.start_us, since_us), window.end_us)
        for window in windows
        if window.end_us > since_us
    ]


async def _averages(
    conn: AsyncConnection, engine: RuleEngine, rule: Rule, window: Window, sources: list[CoverageSource]
) -> list[Event]:
    if not needs_average(rule.condition):
        return []
    exact_us = max(window.start_us, (window.end_us - EXACT_AVERAGES_US) // MINUTE_US * MINUTE_US)
    events: list[Event] = []
    exact: list[Window] = []
    minutes: list[Window] = []
    if exact_us > window.start_us:
        for day in Window(window.start_us, exact_us).days():
            for minute_us, low, high in await average_minutes(conn, rule.symbol, day):
                end_us = minute_us + MINUTE_US
                minutes.append(Window(minute_us, end_us))
                for price in dict.fromkeys((low, high)):
                    events.append((end_us - 1, partial(_average, engine, rule, price, end_us - 1)))
    for day in Window(exact_us, window.end_us).days():
        for ts_us, price in await averages_within(conn, rule.symbol, day.start_us, day.end_us):
            minute_us = ts_us // MINUTE_US * MINUTE_US
            if not exact or exact[-1].start_us != minute_us:
                exact.append(Window(minute_us, minute_us + MINUTE_US))
            events.append((ts_us, partial(_average, engine, rule, price, ts_us)))
    sources.append(CoverageSource(merge(exact), merge(minutes)))
    return events


async def _closes(
    conn: AsyncConnection, engine: RuleEngine, window: Window, sources: list[CoverageSource]
) -> list[Event]:
    events: list[Event] = []
    wanted = sorted(candles_of(engine))
    covered = await candle_windows(conn, {market_id for market_id, _ in wanted}, window) if wanted else {}
    with engine.learning():
        for market_id, interval in wanted:
            known: deque[Close] = deque(maxlen=MOST_CLOSES)
            since_us = window.start_us - MOST_CLOSES * interval.us
            for close in await closes(conn, market_id, interval, since_us, window.end_us):
                if close.close_us < window.start_us:
                    known.append(close)
                else:
                    apply = partial(_close, engine, (market_id, interval), known, close)
                    events.append((close.close_us, apply))
            if known:
                apply_close(engine, (market_id, interval), known, window.start_us)
            # No candle closes in what is left of the window after its last whole interval.
            opened_us = max(interval.floor(window.end_us), window.start_us)
            rest = [Window(opened_us, window.end_us)] if opened_us < window.end_us else []
            sources.append(CoverageSource((), merge([*covered[market_id], *rest])))
    return events


async def _failures(conn: AsyncConnection, engine: RuleEngine, rule: Rule, window: Window) -> list[Event]:
    if not needs_events(rule.condition):
        return []
    return [
        (failure.recorded_us, partial(_failure, engine, failure))
        for failure in await failures_within(conn, window)
    ]


def _average(engine: RuleEngine, rule: Rule, price: float, ts_us: int, now_us: int) -> None:
    engine.average(rule.symbol, price, ts_us, now_us)


def _close(
    engine: RuleEngine, key: tuple[int, Interval], known: deque[Close], close: Close, now_us: int
) -> None:
    known.append(close)
    apply_close(engine, key, known, now_us)


def _failure(engine: RuleEngine, failure: JobFailure, now_us: int) -> None:
    apply_failure(engine, failure, now_us)


def _ignores_trades(rule: Rule) -> bool:
    """Whether the averages of the pair are all the rule depends on, and all it reports."""
    return source_of(rule.condition) is Source.AVERAGE
