"""The order in which a timeline plays trades, other events and the clock."""

from __future__ import annotations

from math import inf

import pytest

from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.timeline import Timeline
from coinwatch.alerts import Above, Below, Crosses, Repeat, Source, Terms, Way
from coinwatch.records import Trade
from coinwatch.times import SECOND_US
from tests.app.alerts.rules.test_engine import BINANCE, rule

S = SECOND_US


def trade(second: float, price: float) -> Trade:
    return Trade(BINANCE, round(second * 10), round(second * S), price, 1.0, True)


@pytest.fixture
def engine() -> RuleEngine:
    engine = RuleEngine()
    engine.meet(1, BINANCE)
    return engine


def fired_at(engine: RuleEngine) -> list[int]:
    return [firing.ts_us // S for change in engine.drain() for firing in change.firings]


def test_events_come_in_the_order_of_their_times(engine: RuleEngine) -> None:
    series, applied = engine.market_state.markets[1], []
    timeline = Timeline(engine, [(at * S, lambda now_us: applied.append(now_us // S)) for at in (5, 1, 3)])
    timeline.trade(series, trade(3, 100.0))
    assert applied == [1, 3]
    timeline.advance(4 * S)
    assert applied == [1, 3]
    timeline.advance(inf)
    assert applied == [1, 3, 5]


def test_the_clock_runs_before_an_event_of_the_same_time(engine: RuleEngine) -> None:
    series = engine.market_state.markets[1]
    engine.put(rule(Above(price=100.0, source=Source.AVERAGE), terms=Terms(holds_for_s=4)), 0)
    prices = [(1 * S, 101.0), (5 * S, 99.0)]
    events = [
        (at_us, lambda now_us, price=price: engine.average(BINANCE.symbol, price, now_us, now_us))
        for at_us, price in prices
    ]
    timeline = Timeline(engine, events)
    timeline.trade(series, trade(9, 50.0))
    assert fired_at(engine) == [5]


def test_what_is_due_by_the_clock_comes_between_trades(engine: RuleEngine) -> None:
    series = engine.market_state.markets[1]
    engine.put(rule(Above(price=100.0), terms=Terms(holds_for_s=4)), 0)
    timeline = Timeline(engine)
    timeline.trade(series, trade(1, 101.0))
    assert timeline.next_due_us == 5 * S
    timeline.trade(series, trade(7, 99.0))
    assert fired_at(engine) == [5]


def test_trades_in_the_quiet_range_may_be_skipped(engine: RuleEngine) -> None:
    series = engine.market_state.markets[1]
    engine.put(rule(Above(price=110.0)), 0)
    engine.put(rule(Below(price=90.0), 2), 0)
    timeline = Timeline(engine)
    assert timeline.quiet_range(series) == (90.0, 110.0, inf)
    timeline.skip_to(series, 100.0, 3 * S)
    assert series.last == 100.0
    timeline.trade(series, trade(4, 110.0))
    assert fired_at(engine) == [4]


def test_every_trade_matters_until_a_new_rule_has_seen_one(engine: RuleEngine) -> None:
    series = engine.market_state.markets[1]
    crosses = Crosses(price=100.0, way=Way.UP)
    engine.put(rule(crosses, terms=Terms(repeat=Repeat.EVERY)), 0)
    timeline = Timeline(engine)
    assert timeline.quiet_range(series) == (inf, -inf, -inf)
    timeline.trade(series, trade(1, 99.0))
    assert timeline.quiet_range(series) == (-inf, 100.0, inf)
