"""The rule index against the plainest way to say the same."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from app.alerts.rules import RuleIndex, firings
from coinwatch.alerts import Condition, Direction, Rule
from coinwatch.records import Market, Symbol, Trade

BINANCE = Market.canonical("binance:BTC-USDT")
KRAKEN = Market.canonical("kraken:BTC-USDT")
ETHER = Market.canonical("kraken:ETH-USDT")

PRICES = st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, 2.5, 3.5])


def rule(
    rule_id: int,
    direction: Direction = Direction.ABOVE,
    price: float = 3.0,
    *,
    exchange: str | None = None,
    symbol: Symbol = BINANCE.symbol,
    armed: bool = True,
) -> Rule:
    return Rule(
        id=rule_id,
        symbol=symbol,
        exchange=exchange,
        condition=Condition(direction, price),
        typed=str(symbol),
        client="c",
        created_at_us=0,
        armed=armed,
    )


def trade(trade_id: int, price: float, market: Market = BINANCE) -> Trade:
    return Trade(market, trade_id, trade_id, price, 1.0, True)


def index_of(*rules: Rule) -> RuleIndex:
    index = RuleIndex()
    index.replace(rules)
    return index


RULES = st.lists(
    st.tuples(
        st.sampled_from(Direction),
        PRICES,
        st.sampled_from([None, "binance", "kraken"]),
        st.sampled_from([BINANCE.symbol, ETHER.symbol]),
    ),
    max_size=20,
).map(
    lambda drawn: [
        rule(number, direction, price, exchange=exchange, symbol=symbol)
        for number, (direction, price, exchange, symbol) in enumerate(drawn, 1)
    ]
)
TRADES = st.lists(st.tuples(PRICES, st.sampled_from([BINANCE, KRAKEN, ETHER])), max_size=20).map(
    lambda drawn: [trade(number, price, market) for number, (price, market) in enumerate(drawn, 1)]
)


@given(RULES, TRADES)
def test_each_rule_fires_with_the_first_trade_that_meets_it(rules: list[Rule], trades: list[Trade]) -> None:
    expected = {}
    for one in rules:
        met = (
            t.trade_id
            for t in trades
            if t.market.symbol == one.symbol
            and one.exchange in (None, t.market.exchange)
            and one.condition.met_by(t.price)
        )
        if (first := next(met, None)) is not None:
            expected[one.id] = first
    for may_fire in (None, lambda rule, trade: True):
        found = firings(index_of(*rules), trades, may_fire)
        assert {firing.rule.id: firing.trade.trade_id for firing in found} == expected
        assert len(found) == len(expected)


@given(RULES, PRICES, st.sampled_from([BINANCE, KRAKEN, ETHER]))
def test_bounds_tell_whether_anything_fires(rules: list[Rule], price: float, market: Market) -> None:
    index = index_of(*rules)
    at_or_above, at_or_below = index.bounds(market)
    assert (price >= at_or_above or price <= at_or_below) == bool(firings(index, [trade(1, price, market)]))


def test_the_price_itself_meets_above_and_below() -> None:
    index = index_of(rule(1, Direction.ABOVE, 3.0), rule(2, Direction.BELOW, 3.0))
    assert {found.id for found in index.touched(BINANCE, 3.0)} == {1, 2}


def test_a_rule_is_replaced_removed_and_not_kept_when_disarmed() -> None:
    index = index_of(rule(1, price=3.0))
    index.put(rule(1, price=5.0))
    assert len(index) == 1
    assert index.bounds(BINANCE) == (5.0, -inf)
    index.put(rule(1, armed=False))
    index.remove(1)
    index.remove(99)
    assert len(index) == 0
    assert index.bounds(BINANCE) == (inf, -inf)


def test_who_may_not_fire_yet_fires_on_a_later_trade() -> None:
    trades = [trade(1, 9.0), trade(2, 4.0)]
    found = firings(index_of(rule(1)), trades, lambda _, one: one.trade_id > 1)
    assert [firing.trade.trade_id for firing in found] == [2]


def test_messages_for_people() -> None:
    above = rule(1, price=70_000.0)
    assert above.message_for("kraken", 70_012.5) == (
        "BTC-USDT traded at 70,012.5 on kraken, at or above 70,000"
    )
    tiny = rule(2, Direction.BELOW, 1e-7)
    assert tiny.message_for("binance", 9e-8) == (
        "BTC-USDT traded at 0.00000009 on binance, at or below 0.0000001"
    )
