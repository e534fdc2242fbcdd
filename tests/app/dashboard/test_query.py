from __future__ import annotations

import pytest

from app.dashboard import query
from app.dashboard.chart import Overlay
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
    choice = query.one_of("range", raw, ["6h", "1d", "1w"], "1d")
    assert choice.value == value
    assert bool(choice.note) is noted
    assert len(choice.note) < 200


def test_overlays_are_clamped() -> None:
    choice = query.overlays(["sma20", "SMA 20", "rsi 3", *(f"ema {n}" for n in range(10, 16))])
    assert choice.value == (Overlay("SMA", 20), *(Overlay("EMA", n) for n in range(10, 14)))
    assert "'rsi 3' is not an overlay" in choice.note
    assert "At most 5" in choice.note
