"""What each condition and each term makes of the rule engine's firings, one by one."""

from __future__ import annotations

import msgspec
import pytest

from app.alerts.rules.market_state import FearGreedNow
from coinwatch.alerts import (
    Above,
    Below,
    Change,
    Crosses,
    Depeg,
    FearGreed,
    FromAverage,
    Move,
    Quiet,
    Repeat,
    Source,
    Spread,
    Terms,
    Volume,
    Way,
)
from coinwatch.alerts import conditions as c
from coinwatch.alerts.rules import NEW
from coinwatch.intervals import Interval
from coinwatch.records import Market, Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from tests.app.alerts.rules.test_engine import BINANCE, IDS, KRAKEN, START_US, Run, rule, trade


def test_a_crossing_needs_a_price_before_it() -> None:
    up = rule(Crosses(price=100.0, way=Way.UP))
    assert Run(up).prices(105, 106) == []
    assert Run(up).prices(105, 99, 100) == [3]
    assert Run(up).prices(99, 105) == [2]


def test_a_crossing_either_way_fires_each_time() -> None:
    either = rule(Crosses(price=100.0), terms=Terms(repeat=Repeat.EVERY))
    assert Run(either).prices(99, 101, 102, 98, 97, 100) == [2, 4, 6]
    assert Run(either).prices(101, 98) == [2]


def test_armed_again_only_after_coming_back_by_the_hysteresis() -> None:
    every = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY, hysteresis=2.0))
    assert Run(every).prices(101, 99, 101, 98.5, 101, 97.9, 100) == [1, 7]


def test_without_a_cooldown_a_clock_set_back_puts_off_nothing() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY)))
    feed = run.engine.meet(1, BINANCE)
    for number, price in enumerate((101.0, 99.0, 101.0), 1):
        run.engine.trade(feed, trade(number, price), number, START_US - number * SECOND_US)
        run._collect()
    assert [firing.trade_id for firing in run.fired] == [1, 3]


def test_within_the_cooldown_nothing_and_after_it_what_is_still_so() -> None:
    every = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY, cooldown_s=10))
    run = Run(every)
    assert run.prices(101, 99, 101, 102) == [1]
    assert run.tick(9) == []
    (still,) = run.tick(11)
    assert (still.trade_id, still.exchange, still.price) == (None, "binance", 102.0)


def test_what_has_to_hold_fires_when_it_has_held_by_the_clock() -> None:
    holds = rule(Above(price=100.0), terms=Terms(holds_for_s=5))
    run = Run(holds)
    assert run.prices(101, 102, 99, 101) == []
    assert run.tick(8.5) == []
    (fired,) = run.tick(9)
    assert fired.price == 101.0


def test_what_holds_is_stored_so_that_another_can_go_on() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(holds_for_s=5)))
    run.prices(101)
    run.engine.tick(START_US + 2 * SECOND_US)
    (change,) = run.engine.drain()
    assert change.after.state.holding_us == START_US + 1 * SECOND_US
    other = Run()
    feed = other.engine.market_state.markets[1]
    feed.last = feed.price.value = 101.0
    other.engine.put(change.after, START_US + 3 * SECOND_US)
    assert other.trades(trade(4, 102.0)) == []
    assert [firing.price for firing in other.tick(6)] == [102.0]


def test_once_per_candle() -> None:
    per_minute = rule(Above(price=100.0), terms=Terms(repeat=Repeat.CANDLE, candle=Interval.M1))
    times = (1, 20, 59, 61, 90, 130)
    run = Run(per_minute)
    run.trades(*(trade(at, 101.0, at_s=at) for at in times))
    minutes = [(firing.ts_us - START_US) // MINUTE_US for firing in run.fired]
    assert minutes == [0, 1, 2]


def test_a_candle_is_that_of_the_trade_however_late_it_is_taken() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(repeat=Repeat.CANDLE, candle=Interval.M1)))
    feed = run.engine.meet(1, BINANCE)
    for number, (at_s, taken_s) in enumerate(((59.9, 60.5), (60.6, 60.7), (70, 121), (119.9, 121)), 1):
        taken = trade(number, 101.0, at_s=at_s)
        run.engine.trade(feed, taken, number, START_US + round(taken_s * SECOND_US))
        run._collect()
    assert [firing.trade_id for firing in run.fired] == [1, 2]


def test_confirmed_on_two_exchanges() -> None:
    both = rule(Above(price=100.0), terms=Terms(confirmed_on=2))
    assert Run(both).trades(trade(1, 101), trade(2, 102), trade(3, 99, KRAKEN), trade(4, 100, KRAKEN)) == [4]
    stale = [trade(1, 101), trade(2, 101, KRAKEN, at_s=900)]
    assert Run(both).trades(*stale) == []


def test_expired_rules_are_over() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(expires_at_us=START_US + 5 * SECOND_US)))
    run.engine.tick(START_US + 5 * SECOND_US)
    (change,) = run.engine.drain()
    assert (change.after.armed, change.firings) == (False, ())
    assert run.trades(trade(6, 200.0)) == []


def test_quiet_hours_and_snooze_put_off() -> None:
    quiet = Quiet(from_minute=0, to_minute=1)
    run = Run(rule(Above(price=100.0), terms=Terms(quiet=quiet)))
    assert run.prices(101) == []
    assert [firing.price for firing in run.tick(60)] == [101.0]
    snoozed = rule(
        Above(price=100.0), state=msgspec.structs.replace(NEW, snoozed_until_us=START_US + MINUTE_US)
    )
    run = Run(snoozed)
    assert run.prices(101) == []
    assert len(run.tick(60)) == 1


def test_a_storm_is_paused() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY)))
    fired = run.prices(*([99.0, 101.0] * 30))
    assert len(fired) == 16
    assert len(run.engine) == 0


def test_what_a_rule_has_seen_does_not_change_it_again() -> None:
    """An endpoint that lags behind the one that claimed continues where that was."""
    every = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY))
    ahead = Run(every)
    for next_trade in [trade(1, 101), trade(2, 99), trade(3, 101)]:
        ahead.engine.trade(
            ahead.engine.market_state.markets[1], next_trade, next_trade.trade_id, next_trade.ts_us
        )
    (change,) = ahead.engine.drain()
    assert len(change.firings) == 2
    behind = Run()
    assert behind.trades(trade(1, 101)) == []
    behind.put(change.after)
    assert behind.trades(trade(2, 99), trade(3, 101), trade(4, 101), trade(5, 99), trade(6, 101)) == [6]


def test_distance_from_the_average() -> None:
    run = Run(rule(FromAverage(percent=2.0)))
    run.engine.average(BINANCE.symbol, 100.0, START_US + SECOND_US, START_US + SECOND_US)
    assert run.trades(trade(2, 101), trade(3, 97, KRAKEN)) == [3]
    assert run.fired[0].exchange == "kraken"
    assert run.fired[0].value == pytest.approx(-3.0)


def test_an_average_that_is_old_compares_with_nothing() -> None:
    run = Run(rule(FromAverage(percent=2.0)))
    run.engine.average(BINANCE.symbol, 100.0, START_US, START_US)
    assert run.trades(trade(1, 150, at_s=60)) == []


def test_the_average_as_the_source() -> None:
    run = Run(rule(Above(price=100.0, source=Source.AVERAGE)))
    assert run.prices(200.0) == []
    run.engine.average(BINANCE.symbol, 100.5, START_US + SECOND_US, START_US + SECOND_US)
    (change,) = run.engine.drain()
    (firing,) = change.firings
    assert (firing.exchange, firing.price, firing.trade_id) == (None, 100.5, None)


def test_spread_between_two_exchanges() -> None:
    run = Run(rule(Spread(exchanges=("kraken", "binance"), percent=1.0)))
    assert run.trades(trade(1, 100), trade(2, 100.5, KRAKEN), trade(3, 101.1, KRAKEN)) == [3]


def test_volume_above_the_usual() -> None:
    run = Run(rule(Volume(over_s=10, times=3.0, usual_s=600), exchange="binance"))
    calm = [trade(at, 100.0, at_s=at) for at in range(0, 1_000, 10)]
    assert run.trades(*calm) == []
    burst = [trade(1_000 + n, 100.0, at_s=1_000 + n / 10) for n in range(10)]
    assert run.trades(*burst) != []


def test_off_the_peg() -> None:
    coin = Market.canonical("binance:USDC-USDT")
    IDS[coin] = 4
    try:
        run = Run(rule(Depeg(percent=0.5), symbol=coin.symbol))
        assert run.trades(trade(1, 0.996, coin), trade(2, 0.994, coin)) == [2]
    finally:
        del IDS[coin]


def test_off_its_peg_for_some_time_on_several_exchanges_or_on_the_average() -> None:
    off = Depeg(percent=0.5, peg=100.0)
    run = Run(rule(off, terms=Terms(holds_for_s=60, confirmed_on=2)))
    run.trades(trade(1, 99.0), trade(2, 99.2, KRAKEN, at_s=10))
    assert run.tick(69) == []
    run.trades(trade(3, 99.9, KRAKEN, at_s=69.5), trade(4, 99.0, KRAKEN, at_s=80))
    assert run.tick(139) == []
    (fired,) = run.tick(140)
    assert (fired.value, fired.trade_id) == (1.0, None)
    run = Run(rule(Depeg(percent=0.5, peg=100.0, source=Source.AVERAGE), terms=Terms(holds_for_s=60)))
    for second, price in ((1, 99.8), (2, 99.4), (62, 99.4)):
        run.engine.average(BINANCE.symbol, price, *[START_US + second * SECOND_US] * 2)
        run.engine.tick(START_US + second * SECOND_US)
    (change,) = run.engine.drain()
    assert [(firing.exchange, firing.price) for firing in change.firings] == [(None, 99.4)]


def test_an_exchange_live_again_confirms_without_crossing_the_level() -> None:
    both = rule(Above(price=100.0), terms=Terms(confirmed_on=2))
    heard = [trade(1, 101), trade(2, 101, KRAKEN, at_s=900), trade(3, 101, at_s=901)]
    assert Run(both).trades(*heard) == [3]


def test_what_has_held_fires_before_the_price_that_ends_it() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(holds_for_s=5)))
    feed = run.engine.market_state.markets[1]
    for next_trade in (trade(1, 101.0), trade(7, 99.0)):
        run.engine.trade(feed, next_trade, next_trade.trade_id, next_trade.ts_us)
    (change,) = run.engine.drain()
    assert [firing.price for firing in change.firings] == [101.0]


def test_several_at_once() -> None:
    both = c.All(of=(Above(price=100.0), FearGreed(level=50, side=c.Direction.ABOVE)))
    run = Run(rule(both))
    assert run.prices(101, 99, 102) == []
    run.engine.read(FearGreedNow(), 60.0, START_US + 4 * SECOND_US, START_US + 4 * SECOND_US)
    (change,) = run.engine.drain()
    assert change.firings[0].price == 102.0
    either = c.Any(of=(Above(price=110.0), Below(price=90.0)))
    assert Run(rule(either)).prices(100, 89) == [2]


def test_a_market_that_comes_later_is_watched_too() -> None:
    run = Run(rule(Crosses(price=100.0, way=Way.UP)))
    new = Market("okx", Symbol("BTC", "USDT"))
    feed = run.engine.meet(9, new)
    for number, price in ((1, 99.0), (2, 101.0)):
        run.engine.trade(feed, trade(number, price, new), number, START_US)
    (change,) = run.engine.drain()
    assert change.firings[0].exchange == "okx"


def test_messages_for_people() -> None:
    above = rule(Above(price=70_000.0))
    assert above.message_for("kraken", 70_012.5) == (
        "BTC-USDT traded at 70,012.5 on kraken, at or above 70,000"
    )
    tiny = rule(Below(price=1e-7))
    assert tiny.message_for("binance", 9e-8) == (
        "BTC-USDT traded at 0.00000009 on binance, at or below 0.0000001"
    )
    fall = rule(Change(percent=5, within_s=900, way=Move.FALL), note="look")
    assert fall.message_for("binance", 100.0) == "look: BTC-USDT at 100 on binance: fallen by 5 % within 15m"
    own = rule(Above(price=1.0), terms=Terms(template="{symbol} {price} {exchange} {{x}}"))
    assert own.message_for(None, 2.5) == "BTC-USDT 2.5 average {x}"
