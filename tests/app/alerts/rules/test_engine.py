"""The rule engine against one that evaluates every rule with every trade, and remembers everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.alerts.rules.engine import RuleEngine
from coinwatch.alerts import (
    Above,
    Below,
    Change,
    Condition,
    Crosses,
    Firing,
    Move,
    NewHigh,
    NewLow,
    Repeat,
    Rule,
    Terms,
    Way,
)
from coinwatch.alerts import conditions as c
from coinwatch.alerts.rules import NO_TERMS
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US

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
    """A engine that is sent trades one by one, and what it fired."""

    def __init__(self, *rules: Rule) -> None:
        self.engine = RuleEngine()
        for market, market_id in IDS.items():
            self.engine.meet(market_id, market)
        self.fired: list[Firing] = []
        self.put(*rules)

    def put(self, *rules: Rule) -> None:
        for held in rules:
            self.engine.put(held, START_US)
        for feed in (*self.engine.market_state.markets.values(), *self._averages()):
            for window in (*feed.spans.values(), *feed.turnovers.values()):
                window.is_warm = True

    def _averages(self) -> list[Any]:
        return [pair.average for pair in self.engine.market_state.pairs.values()]

    def trades(self, *trades: Trade) -> list[int]:
        """The ids of the trades that fired something, in order."""
        before = len(self.fired)
        for trade_ in trades:
            self.engine.tick(trade_.ts_us)
            feed = self.engine.market_state.markets[IDS[trade_.market]]
            self.engine.trade(feed, trade_, trade_.trade_id, trade_.ts_us)
            self._collect()
        return [firing.trade_id or 0 for firing in self.fired[before:]]

    def prices(self, *prices: float) -> list[int]:
        """As ``trades``, of one market a second apart."""
        return self.trades(*(trade(number, price) for number, price in enumerate(prices, 1)))

    def tick(self, at_s: float) -> list[Firing]:
        before = len(self.fired)
        self.engine.tick(START_US + round(at_s * SECOND_US))
        self._collect()
        return self.fired[before:]

    def _collect(self) -> None:
        for change in self.engine.drain():
            assert change.after.state_no == change.before.state_no + 1
            self.fired += change.firings


# Naive: the whole history, looked at from the start with each trade.


def naive_value(leaf: c.Condition, past: Sequence[Trade]) -> tuple[bool, bool]:
    """Whether ``leaf`` is met by the last of ``past``, and by the one before it."""
    met = [_naive_met(leaf, past[: end + 1]) for end in range(len(past))]
    return met[-1], len(met) > 1 and met[-2]


def _naive_met(leaf: c.Condition, past: Sequence[Trade]) -> bool:
    price, ts_us = past[-1].price, past[-1].ts_us
    match leaf:
        case Above() | Below():
            return leaf.met_by(price)
        case Crosses(price=level, way=Way.UP):
            return price >= level and any(past_trade.price < level for past_trade in past)
        case Crosses(price=level, way=Way.DOWN):
            return price <= level and any(past_trade.price > level for past_trade in past)
        case Change(percent=percent, within_s=within_s, way=way):
            within = [
                past_trade.price for past_trade in past if past_trade.ts_us >= ts_us - within_s * SECOND_US
            ]
            rises = (price / min(within) - 1) * 100 >= percent
            falls = (1 - price / max(within)) * 100 >= percent
            return (rises and way is not Move.FALL) or (falls and way is not Move.RISE)
        case NewHigh(over_s=over_s) | NewLow(over_s=over_s):
            if past[0].ts_us > ts_us - over_s * SECOND_US:
                return False
            before = [
                past_trade.price for past_trade in past[:-1] if past_trade.ts_us >= ts_us - over_s * SECOND_US
            ]
            if not before:
                return False
            return price > max(before) if isinstance(leaf, NewHigh) else price < min(before)
        case _:
            raise AssertionError(leaf)


def naive(watched: Rule, trades: Sequence[Trade]) -> list[int]:
    """The ids of the trades that fire a rule without hysteresis."""
    places = {
        market: [t for t in trades if t.market == market]
        for market in IDS
        if market.symbol == watched.symbol and watched.exchange in (None, market.exchange)
    }
    fired: list[int] = []
    armed = True
    seen: dict[Market, int] = dict.fromkeys(places, 0)
    for one_trade in trades:
        if one_trade.market not in places:
            continue
        seen[one_trade.market] += 1
        met = {
            market: naive_value(watched.condition, history[: seen[market]])[0]
            for market, history in places.items()
            if seen[market]
        }
        is_met = sum(met.values()) >= watched.terms.confirmed_on
        if armed and is_met and met[one_trade.market]:
            fired.append(one_trade.trade_id)
            armed = False
            if watched.terms.repeat is Repeat.ONCE:
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
    fired = {
        watched.id: [firing.trade_id for firing in run.fired if firing.rule.id == watched.id]
        for watched in rules
    }
    expected = {watched.id: naive(watched, trades)[:16] for watched in rules}
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
            part = [trade_ for trade_ in commit if trade_.market == market]
            if not part:
                continue
            feed = by_range.engine.market_state.markets[market_id]
            prices = [trade_.price for trade_ in part]
            if by_range.engine.needs_trades(feed, min(prices), max(prices)):
                by_range.trades(*part)
            else:
                by_range.engine.moved(feed, part[-1].price, part[-1].ts_us, part[-1].trade_id)
    of_one_place = {
        watched.id for watched in rules if watched.exchange is not None or watched.symbol == ETHER.symbol
    }
    assert {
        (firing.rule.id, firing.trade_id) for firing in by_range.fired if firing.rule.id in of_one_place
    } == {(firing.rule.id, firing.trade_id) for firing in one_by_one.fired if firing.rule.id in of_one_place}


def test_the_price_itself_meets_above_and_below() -> None:
    run = Run(rule(Above(price=3.0), 1), rule(Below(price=3.0), 2))
    run.prices(3.0)
    assert {firing.rule.id for firing in run.fired} == {1, 2}


def test_a_new_low_after_an_empty_window_needs_an_earlier_price() -> None:
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


def test_a_rule_is_replaced_removed_and_not_kept_when_over() -> None:
    run = Run(rule(Above(price=3.0)))
    run.put(rule(Above(price=5.0)))
    assert len(run.engine) == 1
    assert run.prices(4.0) == []
    run.put(rule(Above(price=5.0), armed=False))
    assert len(run.engine) == 0
    run.engine.remove(99)
    assert run.prices(6.0) == []
