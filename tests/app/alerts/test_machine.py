"""The rule engine against one that looks at every rule with every trade, and remembers everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.feeds import FearGreedNow
from app.alerts.machine import Machine
from coinwatch.alerts import (
    Above,
    Below,
    Change,
    Condition,
    Crosses,
    Depeg,
    FearGreed,
    Firing,
    FromAverage,
    Move,
    NewHigh,
    NewLow,
    Quiet,
    Repeat,
    Rule,
    Source,
    Spread,
    Terms,
    Transition,
    Volume,
    Way,
)
from coinwatch.alerts import conditions as c
from coinwatch.alerts.rules import NEW, NO_TERMS
from coinwatch.intervals import Interval
from coinwatch.records import Market, Symbol, Trade
from coinwatch.times import MINUTE_US, SECOND_US

BINANCE = Market.canonical("binance:BTC-USDT")
KRAKEN = Market.canonical("kraken:BTC-USDT")
ETHER = Market.canonical("binance:ETH-USDT")
IDS = {BINANCE: 1, KRAKEN: 2, ETHER: 3}
START_US = 1_700_000_000 * SECOND_US - (1_700_000_000 % 86_400) * SECOND_US

PRICES = st.integers(90, 110).map(float)


def rule(condition: Condition, number: int = 1, terms: Terms = NO_TERMS, **more: Any) -> Rule:
    return Rule(
        id=number,
        symbol=more.pop("symbol", BINANCE.symbol),
        condition=condition,
        terms=terms,
        typed="btcusdt",
        client="c",
        created_at_us=more.pop("created_at_us", 0),
        **more,
    )


def trade(number: int, price: float, market: Market = BINANCE, at_s: float | None = None) -> Trade:
    at_us = round((number if at_s is None else at_s) * SECOND_US)
    return Trade(market, number, START_US + at_us, price, 1.0, True)


class Run:
    """A machine that is told trades one by one, and what it fired."""

    def __init__(self, *rules: Rule) -> None:
        self.machine = Machine()
        for market, market_id in IDS.items():
            self.machine.meet(market_id, market)
        self.fired: list[Firing] = []
        self.put(*rules)

    def put(self, *rules: Rule) -> None:
        for one in rules:
            self.machine.put(one, START_US)
        for feed in (*self.machine.world.markets.values(), *self._averages()):
            for window in (*feed.spans.values(), *feed.turnovers.values()):
                window.is_warm = True

    def _averages(self) -> list[Any]:
        return [pair.average for pair in self.machine.world.pairs.values()]

    def trades(self, *trades: Trade) -> list[int]:
        """The ids of the trades that fired something, in order."""
        before = len(self.fired)
        for one in trades:
            self.machine.tick(one.ts_us)
            feed = self.machine.world.markets[IDS[one.market]]
            self.machine.trade(feed, one, one.trade_id, one.ts_us)
            self._collect()
        return [firing.trade_id or 0 for firing in self.fired[before:]]

    def prices(self, *prices: float) -> list[int]:
        """As ``trades``, of one market a second apart."""
        return self.trades(*(trade(number, price) for number, price in enumerate(prices, 1)))

    def tick(self, at_s: float) -> list[Firing]:
        before = len(self.fired)
        self.machine.tick(START_US + round(at_s * SECOND_US))
        self._collect()
        return self.fired[before:]

    def _collect(self) -> None:
        for change in self.machine.drain():
            assert change.after.state_no == change.before.state_no + 1
            self.fired += change.firings


# Naive: the whole history, looked at from the start with each trade.


def naive_value(leaf: c.Leaf, past: Sequence[Trade]) -> tuple[bool, bool]:
    """Whether ``leaf`` is met by the last of ``past``, and by the one before it."""
    met = [_naive_met(leaf, past[: end + 1]) for end in range(len(past))]
    return met[-1], len(met) > 1 and met[-2]


def _naive_met(leaf: c.Leaf, past: Sequence[Trade]) -> bool:
    price, ts_us = past[-1].price, past[-1].ts_us
    match leaf:
        case Above() | Below():
            return leaf.met_by(price)
        case Crosses(price=level, way=Way.UP):
            return price >= level and any(one.price < level for one in past)
        case Crosses(price=level, way=Way.DOWN):
            return price <= level and any(one.price > level for one in past)
        case Change(percent=percent, within_s=within_s, way=way):
            within = [one.price for one in past if one.ts_us >= ts_us - within_s * SECOND_US]
            rises = (price / min(within) - 1) * 100 >= percent
            falls = (1 - price / max(within)) * 100 >= percent
            return (rises and way is not Move.FALL) or (falls and way is not Move.RISE)
        case NewHigh(over_s=over_s) | NewLow(over_s=over_s):
            if past[0].ts_us > ts_us - over_s * SECOND_US:
                return False
            before = [one.price for one in past[:-1] if one.ts_us >= ts_us - over_s * SECOND_US]
            if not before:
                return False
            return price > max(before) if isinstance(leaf, NewHigh) else price < min(before)
        case _:
            raise AssertionError(leaf)


def naive(one: Rule, trades: Sequence[Trade]) -> list[int]:
    """The ids of the trades that fire a rule without hysteresis."""
    places = {
        market: [t for t in trades if t.market == market]
        for market in IDS
        if market.symbol == one.symbol and one.exchange in (None, market.exchange)
    }
    fired: list[int] = []
    armed = True
    seen: dict[Market, int] = dict.fromkeys(places, 0)
    for one_trade in trades:
        if one_trade.market not in places:
            continue
        seen[one_trade.market] += 1
        met = {
            market: naive_value(one.condition, history[: seen[market]])[0]  # type: ignore[arg-type]
            for market, history in places.items()
            if seen[market]
        }
        is_met = sum(met.values()) >= one.terms.confirmed_on
        if armed and is_met and met[one_trade.market]:
            fired.append(one_trade.trade_id)
            armed = False
            if one.terms.repeat is Repeat.ONCE:
                return fired
        elif not is_met:
            armed = True
    return fired


LEVELS = st.builds(lambda side, price: side(price=price), st.sampled_from([Above, Below]), PRICES)
CROSSINGS = st.builds(
    lambda way, price: Crosses(price=price, way=way), st.sampled_from([Way.UP, Way.DOWN]), PRICES
)
CHANGES = st.builds(
    lambda percent, within_s, way: Change(percent=percent, within_s=within_s, way=way),
    st.sampled_from([1.0, 3.0, 8.0]),
    st.sampled_from([5, 10, 30]),
    st.sampled_from(Move),
)
EXTREMES = st.builds(
    lambda kind, over_s: kind(over_s=over_s), st.sampled_from([NewHigh, NewLow]), st.sampled_from([5, 12])
)
RULES = st.lists(
    st.tuples(
        LEVELS | CROSSINGS | CHANGES | EXTREMES,
        st.sampled_from([None, "binance", "kraken"]),
        st.sampled_from([BINANCE.symbol, ETHER.symbol]),
        st.sampled_from([Terms(), Terms(repeat=Repeat.EVERY), Terms(repeat=Repeat.EVERY, confirmed_on=2)]),
    ),
    max_size=12,
).map(
    lambda drawn: [
        rule(condition, number, terms, exchange=exchange, symbol=symbol)
        for number, (condition, exchange, symbol, terms) in enumerate(drawn, 1)
    ]
)
TRADES = st.lists(
    st.tuples(PRICES, st.sampled_from([BINANCE, KRAKEN, ETHER]), st.integers(0, 3)), max_size=40
)


def timed(drawn: list[tuple[float, Market, int]]) -> list[Trade]:
    at_s, trades = 0, []
    for number, (price, market, later) in enumerate(drawn, 1):
        at_s += later
        trades.append(trade(number, price, market, at_s))
    return trades


@given(RULES, TRADES.map(timed))
def test_every_rule_fires_as_if_all_were_looked_at_each_time(rules: list[Rule], trades: list[Trade]) -> None:
    run = Run(*rules)
    run.trades(*trades)
    fired = {one.id: [firing.trade_id for firing in run.fired if firing.rule.id == one.id] for one in rules}
    expected = {one.id: naive(one, trades)[:16] for one in rules}
    assert fired == expected


@given(RULES, TRADES.map(timed), st.integers(1, 5))
def test_commits_that_touch_nothing_need_not_be_looked_at(
    rules: list[Rule], trades: list[Trade], size: int
) -> None:
    """By range first, then trade by trade: the same firings."""
    one_by_one, by_range = Run(*rules), Run(*rules)
    one_by_one.trades(*trades)
    for start in range(0, len(trades), size):
        commit = trades[start : start + size]
        for market, market_id in IDS.items():
            part = [one for one in commit if one.market == market]
            if not part:
                continue
            feed = by_range.machine.world.markets[market_id]
            prices = [one.price for one in part]
            if by_range.machine.needs_trades(feed, min(prices), max(prices)):
                by_range.trades(*part)
            else:
                by_range.machine.moved(feed, part[-1].price, part[-1].ts_us, part[-1].trade_id)
    of_one_place = {one.id for one in rules if one.exchange is not None or one.symbol == ETHER.symbol}
    assert {
        (firing.rule.id, firing.trade_id) for firing in by_range.fired if firing.rule.id in of_one_place
    } == {(firing.rule.id, firing.trade_id) for firing in one_by_one.fired if firing.rule.id in of_one_place}


def test_the_price_itself_meets_above_and_below() -> None:
    run = Run(rule(Above(price=3.0), 1), rule(Below(price=3.0), 2))
    run.prices(3.0)
    assert {firing.rule.id for firing in run.fired} == {1, 2}


def test_after_a_pause_as_long_as_its_window_a_low_is_none_until_there_is_something_to_be_below() -> None:
    run = Run(rule(NewLow(over_s=5), terms=Terms(repeat=Repeat.EVERY)))
    fired = run.trades(
        trade(1, 91.0, KRAKEN, 0),
        trade(2, 90.0, BINANCE, 2),
        trade(3, 90.0, KRAKEN, 5),
        trade(4, 91.0, BINANCE, 8),
        trade(5, 90.0, KRAKEN, 11),
        trade(6, 90.0, BINANCE, 11),
    )
    assert fired == [3, 6]


def test_what_the_clock_made_of_less_than_others_have_seen_is_not_claimed_again() -> None:
    """It would have them see twice what came between."""
    before = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY, hysteresis=1.0))
    change = Transition(before, before.holding(None, {"1": 5}, {"1": "1"}), "", START_US)

    def elsewhere(seen: dict[str, int]) -> Rule:
        state = msgspec.structs.replace(before.state, seen=seen)
        return msgspec.structs.replace(before, state=state, state_no=2)

    assert change.onto(elsewhere({"1": 7})) is None
    assert change.onto(elsewhere({"1": 5, "2": 1})) is None
    again = change.onto(elsewhere({"1": 4}))
    assert again is not None
    assert again.after.state_no == 3
    ended = Transition(before, before.ended(), "", START_US)
    assert ended.onto(elsewhere({"1": 7})) is not None


def test_a_rule_is_replaced_removed_and_not_kept_when_over() -> None:
    run = Run(rule(Above(price=3.0)))
    run.put(rule(Above(price=5.0)))
    assert len(run.machine) == 1
    assert run.prices(4.0) == []
    run.put(rule(Above(price=5.0), armed=False))
    assert len(run.machine) == 0
    run.machine.remove(99)
    assert run.prices(6.0) == []


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
    feed = run.machine.meet(1, BINANCE)
    for number, price in enumerate((101.0, 99.0, 101.0), 1):
        run.machine.trade(feed, trade(number, price), number, START_US - number * SECOND_US)
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
    run.machine.tick(START_US + 2 * SECOND_US)
    (change,) = run.machine.drain()
    assert change.after.state.holding_us == START_US + 1 * SECOND_US
    other = Run()
    feed = other.machine.world.markets[1]
    feed.last = feed.price.value = 101.0
    other.machine.put(change.after, START_US + 3 * SECOND_US)
    assert other.trades(trade(4, 102.0)) == []
    assert [one.price for one in other.tick(6)] == [102.0]


def test_once_per_candle() -> None:
    per_minute = rule(Above(price=100.0), terms=Terms(repeat=Repeat.CANDLE, candle=Interval.M1))
    times = (1, 20, 59, 61, 90, 130)
    run = Run(per_minute)
    run.trades(*(trade(at, 101.0, at_s=at) for at in times))
    minutes = [(firing.ts_us - START_US) // MINUTE_US for firing in run.fired]
    assert minutes == [0, 1, 2]


def test_confirmed_on_two_exchanges() -> None:
    both = rule(Above(price=100.0), terms=Terms(confirmed_on=2))
    assert Run(both).trades(trade(1, 101), trade(2, 102), trade(3, 99, KRAKEN), trade(4, 100, KRAKEN)) == [4]
    stale = [trade(1, 101), trade(2, 101, KRAKEN, at_s=900)]
    assert Run(both).trades(*stale) == []


def test_expired_rules_are_over() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(expires_at_us=START_US + 5 * SECOND_US)))
    run.machine.tick(START_US + 5 * SECOND_US)
    (change,) = run.machine.drain()
    assert (change.after.armed, change.firings) == (False, ())
    assert run.trades(trade(6, 200.0)) == []


def test_quiet_hours_and_snooze_put_off() -> None:
    quiet = Quiet(from_minute=0, to_minute=1)
    run = Run(rule(Above(price=100.0), terms=Terms(quiet=quiet)))
    assert run.prices(101) == []
    assert [one.price for one in run.tick(60)] == [101.0]
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
    assert len(run.machine) == 0


def test_what_a_rule_has_seen_does_not_change_it_again() -> None:
    """An endpoint that lags behind the one that claimed goes on where that was."""
    every = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY))
    ahead = Run(every)
    for one in [trade(1, 101), trade(2, 99), trade(3, 101)]:
        ahead.machine.trade(ahead.machine.world.markets[1], one, one.trade_id, one.ts_us)
    (change,) = ahead.machine.drain()
    assert len(change.firings) == 2
    behind = Run()
    assert behind.trades(trade(1, 101)) == []
    behind.put(change.after)
    assert behind.trades(trade(2, 99), trade(3, 101), trade(4, 101), trade(5, 99), trade(6, 101)) == [6]


def test_distance_from_the_average() -> None:
    run = Run(rule(FromAverage(percent=2.0)))
    run.machine.average(BINANCE.symbol, 100.0, START_US + SECOND_US, START_US + SECOND_US)
    assert run.trades(trade(2, 101), trade(3, 97, KRAKEN)) == [3]
    assert run.fired[0].exchange == "kraken"
    assert run.fired[0].value == pytest.approx(-3.0)


def test_an_average_that_is_old_compares_with_nothing() -> None:
    run = Run(rule(FromAverage(percent=2.0)))
    run.machine.average(BINANCE.symbol, 100.0, START_US, START_US)
    assert run.trades(trade(1, 150, at_s=60)) == []


def test_the_average_as_the_source() -> None:
    run = Run(rule(Above(price=100.0, source=Source.AVERAGE)))
    assert run.prices(200.0) == []
    run.machine.average(BINANCE.symbol, 100.5, START_US + SECOND_US, START_US + SECOND_US)
    (change,) = run.machine.drain()
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
        run.machine.average(BINANCE.symbol, price, *[START_US + second * SECOND_US] * 2)
        run.machine.tick(START_US + second * SECOND_US)
    (change,) = run.machine.drain()
    assert [(one.exchange, one.price) for one in change.firings] == [(None, 99.4)]


def test_an_exchange_that_is_heard_of_again_confirms_without_passing_a_level() -> None:
    both = rule(Above(price=100.0), terms=Terms(confirmed_on=2))
    heard = [trade(1, 101), trade(2, 101, KRAKEN, at_s=900), trade(3, 101, at_s=901)]
    assert Run(both).trades(*heard) == [3]


def test_what_has_held_fires_before_the_price_that_ends_it() -> None:
    run = Run(rule(Above(price=100.0), terms=Terms(holds_for_s=5)))
    feed = run.machine.world.markets[1]
    for one in (trade(1, 101.0), trade(7, 99.0)):
        run.machine.trade(feed, one, one.trade_id, one.ts_us)
    (change,) = run.machine.drain()
    assert [one.price for one in change.firings] == [101.0]


def test_several_at_once() -> None:
    both = c.All(of=(Above(price=100.0), FearGreed(level=50, side=c.Direction.ABOVE)))
    run = Run(rule(both))
    assert run.prices(101, 99, 102) == []
    run.machine.read(FearGreedNow(), 60.0, START_US + 4 * SECOND_US, START_US + 4 * SECOND_US)
    (change,) = run.machine.drain()
    assert change.firings[0].price == 102.0
    either = c.Any(of=(Above(price=110.0), Below(price=90.0)))
    assert Run(rule(either)).prices(100, 89) == [2]


def test_a_market_that_comes_later_is_watched_too() -> None:
    run = Run(rule(Crosses(price=100.0, way=Way.UP)))
    new = Market("okx", Symbol("BTC", "USDT"))
    feed = run.machine.meet(9, new)
    for number, price in ((1, 99.0), (2, 101.0)):
        run.machine.trade(feed, trade(number, price, new), number, START_US)
    (change,) = run.machine.drain()
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
