"""What an engine holds, lists and removes, and what does not fire its rules."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterable

import pytest

from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.market_state import FearGreedNow, PriceSeries
from coinwatch.alerts import Above, Below, Change, Crosses, Move, Repeat, Rule, RuleState, Source, Terms
from coinwatch.alerts import conditions as c
from coinwatch.alerts.conditions import Direction
from coinwatch.intervals import Interval
from coinwatch.times import SECOND_US
from tests.app.alerts.rules.test_engine import BINANCE, ETHER, IDS, KRAKEN, START_US, Run, rule, trade

FEAR = c.FearGreed(level=20.0, side=Direction.BELOW)
READINGS = itertools.count(1)
EVERY_TIME = Terms(repeat=Repeat.EVERY)


def ids(rules: Iterable[Rule]) -> set[int]:
    return {held.id for held in rules}


@pytest.fixture
def run() -> Run:
    """An engine with a rule of each kind on BTC-USDT."""
    return Run(
        rule(Above(price=110.0), 1),
        rule(Below(price=90.0), 2, exchange="kraken"),
        rule(Change(percent=5.0, within_s=60, way=Move.RISE), 3),
        rule(c.Spread(exchanges=("binance", "kraken"), percent=1.0), 4),
        rule(c.Volume(times=3.0, over_s=60, usual_s=3_600), 5),
        rule(c.Depeg(percent=1.0), 6),
        rule(Crosses(price=100.0, source=Source.CANDLE, interval=Interval.M1), 7),
        rule(FEAR, 8),
    )


def series_of(run: Run, market_id: int = 1) -> PriceSeries:
    return run.engine.market_state.markets[market_id]


def test_rules_are_listed_by_pair_and_by_the_prices_that_reach_them(run: Run) -> None:
    engine = run.engine
    assert ids(engine.rules()) == set(range(1, 9))
    assert ids(engine.stateful_rules_of(BINANCE.symbol)) == set(range(3, 9))
    assert ids(engine.triggers_within(series_of(run), 85.0, 115.0)) == {1}
    assert ids(engine.triggers_within(series_of(run, IDS[KRAKEN]), 85.0, 115.0)) == {1, 2}
    assert ids(engine.triggers_within(series_of(run), 95.0, 105.0)) == set()


def test_every_trade_is_needed_where_a_rule_depends_on_each() -> None:
    needed = {
        Above(price=110.0): False,
        Change(percent=5.0, within_s=60, way=Move.RISE): True,
        c.Spread(exchanges=("binance", "kraken"), percent=1.0): True,
    }
    assert {
        condition: Run(rule(condition)).engine.needs_every_trade(BINANCE.symbol) for condition in needed
    } == needed
    confirmed = Run(rule(Above(price=110.0), terms=Terms(confirmed_on=2)))
    assert confirmed.engine.needs_every_trade(BINANCE.symbol)
    assert not confirmed.engine.needs_every_trade(ETHER.symbol)


def test_tidy_removes_what_no_rule_depends_on(run: Run) -> None:
    engine, state = run.engine, run.engine.market_state
    engine.tidy()
    feed = series_of(run)
    kept = feed.spans, feed.turnovers, feed.off_peg, state.pair(BINANCE.symbol).spreads, state.candles
    assert all(kept)
    assert state.readings.keys() == {FearGreedNow()}
    for number in range(3, 9):
        engine.remove(number)
    engine.tidy()
    feed = series_of(run)
    assert not feed.needs_every_trade
    assert not state.pair(BINANCE.symbol).spreads
    assert not state.candles
    assert not state.readings
    assert ids(engine.rules()) == {1, 2}
    assert run.prices(111.0) == [1]


def test_a_pair_without_markets_and_rules_is_removed() -> None:
    engine = RuleEngine()
    engine.put(rule(Above(price=1.0), symbol=ETHER.symbol), START_US)
    engine.tidy()
    assert engine.market_state.pairs.keys() == {ETHER.symbol}
    engine.remove(1)
    engine.tidy()
    assert not engine.market_state.pairs


def test_an_engine_that_has_ended_leaves_no_reference_cycle(run: Run) -> None:
    rules = [weakref.ref(state) for state in (run.engine, run.engine.market_state)]
    gc.collect()
    gc.disable()
    try:
        run.engine.end()
        assert not series_of(run).price.thresholds
        del run.engine
        assert [state() for state in rules] == [None, None]
    finally:
        gc.enable()


def test_a_trade_that_may_not_fire_a_rule_leaves_it_for_the_next() -> None:
    run = Run(rule(Above(price=110.0)))
    with run.engine.learning():
        assert run.trades(trade(1, 111.0)) == []
    assert run.trades(trade(2, 111.0)) == [2]


def test_commits_are_numbered_from_1_again_for_another_server() -> None:
    run = Run(rule(Above(price=110.0)))
    run.trades(trade(5, 100.0))
    assert series_of(run).seq == 5
    run.engine.restart_numbering()
    assert run.trades(trade(1, 111.0)) == [1]


def test_the_clock_fires_what_another_endpoint_saw_once_it_was_taken_here() -> None:
    engine = RuleEngine()
    feed = engine.meet(1, BINANCE)
    engine.learn_price(feed, 111.0, START_US, 1)
    ahead = RuleState(holding_us=START_US, seen={"1": 9})
    engine.put(rule(Above(price=110.0), terms=Terms(holds_for_s=10), state=ahead), START_US)
    engine.tick(START_US + 10 * SECOND_US)
    assert engine.drain() == []
    engine.taken_through(9)
    engine.tick(START_US + 11 * SECOND_US)
    assert [len(change.firings) for change in engine.drain()] == [1]


def test_averages_and_closes_that_were_taken_before_are_ignored() -> None:
    run = Run(
        rule(Above(price=110.0, source=Source.AVERAGE), 1, terms=EVERY_TIME),
        rule(Above(price=110.0, source=Source.CANDLE, interval=Interval.M1), 2, terms=EVERY_TIME),
    )
    engine, at_us = run.engine, START_US + SECOND_US
    closes = engine.market_state.closes(series_of(run), Interval.M1)
    for price in (100.0, 111.0):
        engine.average(BINANCE.symbol, price, at_us, at_us)
        engine.close(closes, price, at_us, at_us)
    assert engine.drain() == []
    later_us = at_us + SECOND_US
    engine.average(BINANCE.symbol, 111.0, later_us, later_us)
    engine.close(closes, 111.0, later_us, later_us)
    assert {change.after.id for change in engine.drain()} == {1, 2}


def test_an_average_of_a_pair_without_rules_is_ignored() -> None:
    engine = RuleEngine()
    engine.average(ETHER.symbol, 111.0, START_US, START_US)
    assert not engine.market_state.pairs


def test_a_market_that_comes_later_changes_no_rule_of_a_whole_pair() -> None:
    engine = RuleEngine()
    engine.meet(1, BINANCE)
    engine.put(rule(FEAR), START_US)
    engine.meet(2, KRAKEN)
    assert fired_prices(engine, 15.0) == [("binance", None)]


def test_a_reading_reports_the_newest_price_of_its_pair() -> None:
    run = Run(rule(FEAR, 1, terms=EVERY_TIME))
    run.trades(trade(1, 100.0), trade(2, 101.0, KRAKEN))
    assert fired_prices(run.engine, 15.0) == [("kraken", 101.0)]
    assert fired_prices(run.engine, 50.0) == []
    run.engine.average(BINANCE.symbol, 100.5, START_US + SECOND_US, START_US + SECOND_US)
    assert fired_prices(run.engine, 15.0) == [(None, 100.5)]


def test_a_reading_fires_once_in_a_candle() -> None:
    engine = RuleEngine()
    engine.put(rule(FEAR, terms=Terms(repeat=Repeat.CANDLE, candle=Interval.M1)), START_US)
    assert len(fired_prices(engine, 15.0, at_s=10)) == 1
    assert fired_prices(engine, 14.0, at_s=20) == []
    engine.tick(START_US + 60 * SECOND_US)
    assert [len(change.firings) for change in engine.drain()] == [1]


def fired_prices(
    engine: RuleEngine, fear_greed: float, at_s: int = 0
) -> list[tuple[str | None, float | None]]:
    """The exchange and price of each alert that a reading of the index fires."""
    at_us = START_US + at_s * SECOND_US
    engine.read(FearGreedNow(), fear_greed, at_us, at_us, seq=next(READINGS))
    return [(firing.exchange, firing.price) for change in engine.drain() for firing in change.firings]
