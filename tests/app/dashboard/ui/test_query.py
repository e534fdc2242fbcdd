from __future__ import annotations

import pytest

from app.dashboard.ui import query
from app.dashboard.ui.indicators import Indicator
from coinwatch.records import Symbol

KNOWN = [Symbol("BTC", "USDT"), Symbol("ETH", "EUR")]


@pytest.mark.parametrize(
    ("raw", "value", "word"),
    [
        (None, "BTC-USDT", ""),
        ("", "BTC-USDT", ""),
        ("ETH-EUR", "ETH-EUR", ""),
        ("etheur", "ETH-EUR", ""),
        ("eth/eur", "ETH-EUR", ""),
        ("DOGE-USDT", "BTC-USDT", "no market trades DOGE-USDT here"),
        ("<script>", "BTC-USDT", "not a pair"),
        ("x" * 10_000, "BTC-USDT", "Showing BTC-USDT"),
    ],
)
def test_symbol(raw: str | None, value: str, word: str) -> None:
    choice = query.symbol(raw, KNOWN)
    assert str(choice.value) == value
    assert word in choice.note
    assert bool(word) == bool(choice.note)
    assert len(choice.note) < 300


def test_symbols_keep_the_known_ones_once() -> None:
    choice = query.symbols(["btcusdt", "BTC-USDT", "nope-x", "eth-eur"], KNOWN)
    assert choice.value == tuple(KNOWN)
    assert "nope-x" in choice.note


@pytest.mark.parametrize(
    ("raw", "value", "noted"),
    [
        (None, "1d", False),
        ("1W", "1w", False),
        (" 6h", "6h", False),
        ("7d", "1d", True),
        ("z" * 999, "1d", True),
    ],
)
def test_one_of(raw: str | None, value: str, noted: bool) -> None:
    choice = query.option("range", raw, ["6h", "1d", "1w"], "1d")
    assert choice.value == value
    assert bool(choice.note) is noted
    assert len(choice.note) < 200


def test_indicators_are_clamped() -> None:
    choice = query.indicators(["sma20", "SMA 20", "zigzag 3", *(f"ema {n}" for n in range(10, 17))])
    assert choice.value == (Indicator("SMA", (20,)), *(Indicator("EMA", (n,)) for n in range(10, 15)))
    assert "'zigzag 3' is not an indicator" in choice.note
    assert "At most 6" in choice.note
    assert query.indicators(["rsi 3"], ("SMA", "EMA")).value == ()
