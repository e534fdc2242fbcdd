from __future__ import annotations

from math import inf, nan

import pytest

from app.dashboard import alert_form
from coinwatch.alerts import Above, NewRule, Rule
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market, Symbol
from coinwatch.times import SECOND_US

KNOWN = [Market.canonical(name) for name in ("binance:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR")]
NOW_US = 1_795_176_000 * SECOND_US


def test_a_rule_takes_any_spelling() -> None:
    rule = alert_form.new_rule(" btcusdt", "above", 70_000.0, "  take\nprofit ", KNOWN)
    assert rule == NewRule(
        symbol=Symbol("BTC", "USDT"),
        condition=Above(price=70_000.0),
        typed=" btcusdt",
        note="take profit",
        client="dashboard",
    )
    assert alert_form.sentence(rule) == "BTC-USDT at or above 70,000.00"


def test_a_market_watches_its_exchange_only() -> None:
    rule = alert_form.new_rule("kraken:eth/eur", "below", 0.5, "", KNOWN)
    assert (rule.exchange, rule.note) == ("kraken", None)
    assert alert_form.sentence(rule) == "ETH-EUR on kraken at or below 0.50000"


@pytest.mark.parametrize(
    ("typed", "price", "note", "says"),
    [
        ("DOGE-USDT", 1.0, "", "no market trades DOGE-USDT"),
        ("binance:ETH-EUR", 1.0, "", "did you mean kraken:ETH-EUR"),
        ("bitmart:BTC-USDT", 1.0, "", "unknown exchange"),
        ("BTC-USDT", None, "", "above 0, in USDT"),
        ("BTC-USDT", 0.0, "", "above 0"),
        ("BTC-USDT", -1.0, "", "above 0"),
        ("BTC-USDT", nan, "", "above 0"),
        ("BTC-USDT", inf, "", "above 0"),
        ("BTC-USDT", 1.0, "x" * 201, "at most 200"),
    ],
)
def test_nonsense_gets_a_clear_word(typed: str, price: float | None, note: str, says: str) -> None:
    with pytest.raises(CoinwatchError, match=says):
        alert_form.new_rule(typed, "above", price, note, KNOWN)


@pytest.mark.parametrize(
    ("armed", "price", "text"),
    [
        (True, None, "waiting"),
        (True, 50.0, "waiting, +100.00 % to go"),
        (True, 100.0, "waiting for the next trade"),
        (False, 50.0, "fired 3 min ago"),
    ],
)
def test_state_says_where_a_rule_stands(armed: bool, price: float | None, text: str) -> None:
    rule = Rule(
        id=1,
        symbol=Symbol("BTC", "USDT"),
        condition=Above(price=100.0),
        typed="btcusdt",
        client="dashboard",
        armed=armed,
        created_at_us=NOW_US,
        fired_at_us=None if armed else NOW_US - 180 * SECOND_US,
    )
    assert alert_form.state(rule, price, NOW_US) == text
