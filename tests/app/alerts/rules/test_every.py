"""``every``: fires at each step of percent from a base price."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.rules.builders.price import STEP_BITS, Steps
from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.threshold_index import Series
from coinwatch.alerts import Firing, Repeat, Rule, Source, Terms
from coinwatch.alerts.condition_parser import fields_of, read_condition
from coinwatch.alerts.conditions import Every
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.alerts.rules import STORM_FIRES
from coinwatch.intervals import Interval
from coinwatch.records import Trade
from tests.app.alerts.rules.test_engine import BINANCE, START_US, rule

EVERY_5 = Every(percent=5.0, base=100.0)
EACH_TIME = Terms(repeat=Repeat.EVERY)
MINUTE_US = 60_000_000
STEPS = [EVERY_5.step(k) for k in range(-19, 200)]


def engine_with(*rules: Rule, last: float | None = None) -> RuleEngine:
    engine = RuleEngine()
    feed = engine.meet(1, BINANCE)
    if last is not None:
        feed.last = feed.price.value = last
    for made in rules:
        engine.put(made, START_US)
    return engine


def run(engine: RuleEngine, *prices: float, start: int = 1) -> list[Firing]:
    """What fires on trades a minute apart, by commits that are skipped if they can be."""
    feed = engine.market_state.markets[1]
    firings: list[Firing] = []
    for number, price in enumerate(prices, start):
        ts_us = START_US + number * MINUTE_US
        if engine.needs_trades(feed, price, price):
            engine.trade(feed, Trade(BINANCE, number, ts_us, price, 1.0, True), number, ts_us)
        else:
            engine.moved(feed, price, ts_us, number)
        firings += [firing for change in engine.drain() for firing in change.firings]
    return firings


def fired_at(*prices: float, condition: Every = EVERY_5, last: float | None = None) -> list[float | None]:
    return [firing.price for firing in run(engine_with(rule(condition, terms=EACH_TIME), last=last), *prices)]


@pytest.mark.parametrize(
    ("prices", "fired"),
    [
        ((102, 104.9, 105, 106), [105]),
        ((102, 105, 103, 105, 104, 106), [105]),
        ((102, 105, 99.9, 105), [105, 99.9, 105]),
        ((102, 121, 119), [121]),
        ((102, 121, 115, 114), [121, 115]),
        ((100, 100, 105), [105]),
        ((98, 100), [100]),
        ((102, 95, 90, 94.9, 95), [95, 90, 95]),
        ((102, 5, 0.1, 4.9, 5, 10), [5, 10]),
    ],
)
def test_it_fires_at_each_new_step(prices: tuple[float, ...], fired: list[float]) -> None:
    assert fired_at(*prices) == fired
    assert fired_at(*prices[1:], last=prices[0]) == fired


def test_first_price_fires_nothing() -> None:
    assert fired_at(105) == []
    assert fired_at(1e9, 1e9) == []


def test_message_names_the_step_and_the_base() -> None:
    (firing,) = run(engine_with(rule(EVERY_5), last=102), 105)
    assert firing.message == "BTC-USDT at 105 on binance: at a new step of 5 % from 100"
    assert firing.value is None


def test_it_works_on_averages_and_closes() -> None:
    average = rule(Every(percent=5.0, base=100.0, source=Source.AVERAGE))
    engine = engine_with(average)
    for second, price in enumerate((102.0, 104.0, 105.0), 1):
        engine.average(BINANCE.symbol, price, START_US + second, START_US + second)
    (change,) = engine.drain()
    assert [firing.price for firing in change.firings] == [105.0]

    closes = rule(Every(percent=5.0, base=100.0, source=Source.CANDLE, interval=Interval.M1))
    engine = engine_with(closes)
    feed = engine.market_state.closes(engine.market_state.markets[1], Interval.M1)
    for minute, price in enumerate((102.0, 94.0), 1):
        engine.close(feed, price, START_US + minute, START_US + minute)
    (change,) = engine.drain()
    assert [firing.price for firing in change.firings] == [94.0]


PRICES = st.lists(st.integers(60, 140).map(float) | st.floats(1e-3, 900), min_size=2, max_size=30)


@given(PRICES, st.integers(1, 29))
def test_it_continues_after_a_restart(prices: list[float], at: int) -> None:
    at = min(at, len(prices) - 1)
    whole = run(engine_with(rule(EVERY_5, terms=EACH_TIME)), *prices)
    engine = engine_with(rule(EVERY_5, terms=EACH_TIME))
    before = run(engine, *prices[:at])
    stored = next(iter(engine.rules()), None)
    engine.tick(START_US + at * MINUTE_US)
    for change in engine.drain():
        stored = change.after
    if stored is None or stored.state.paused:
        return
    after = run(engine_with(stored, last=prices[at - 1]), *prices[at:], start=at + 1)
    assert [(firing.ts_us, firing.price) for firing in [*before, *after]] == [
        (firing.ts_us, firing.price) for firing in whole
    ]


@given(PRICES)
def test_it_fires_as_all_steps_between_two_prices_show(prices: list[float]) -> None:
    reached = prices[0] if prices[0] in STEPS else None
    expected = []
    for before, price in itertools.pairwise(prices):
        passed = [step for step in STEPS if before < step <= price or price <= step < before]
        if price < before:
            passed.reverse()
        if any(step != reached for step in passed):
            expected.append(price)
        reached = passed[-1] if passed else reached
    assert fired_at(*prices)[:STORM_FIRES] == expected[:STORM_FIRES]


def test_prices_far_from_the_base_do_not_fail() -> None:
    tiny = Every(percent=0.01, base=1e-9)
    assert fired_at(2e9, 3e9, 1e-9, condition=tiny, last=1e-3) == [2e9, 1e-9]


@pytest.mark.parametrize("step", [-19, 0, 1, 2**41 - 1])
def test_memory_holds_the_step(step: int) -> None:
    assert len(list(Steps(None, Series("1"), EVERY_5, step).memory())) == 1 + STEP_BITS


def test_it_is_parsed_and_stored() -> None:
    sent = {"type": "every", "percent": 2.5, "base": 60_000.0, "source": "average"}
    assert fields_of(read_condition(sent)) == sent
    with pytest.raises(InvalidField, match="percent is"):
        read_condition({"type": "every", "percent": 0.001, "base": 1})
    with pytest.raises(InvalidField, match="needs a base"):
        read_condition({"type": "every", "percent": 1})
