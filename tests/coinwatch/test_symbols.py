"""Typed symbols resolve, or are refused with a clear reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import parse_market, parse_symbol

KNOWN = {Symbol(*text.split("-")) for text in ("BTC-USDT", "BTC-USDC", "ETH-BTC", "USDC-USDT", "PEPE-EUR")}


@pytest.mark.parametrize("typed", ["btcusdc", "BTC/USDC", "btc-usdc", " Btc_Usdc ", "BTC USDC", "btc - usdc"])
def test_usual_spellings_resolve(typed: str) -> None:
    assert parse_symbol(typed) == parse_symbol(typed, KNOWN) == Symbol("BTC", "USDC")


@pytest.mark.parametrize(
    ("typed", "base", "quote"),
    [
        ("usdcusdt", "USDC", "USDT"),
        ("ethbtc", "ETH", "BTC"),
        ("pepeeur", "PEPE", "EUR"),
        ("1inchusd", "1INCH", "USD"),
    ],
)
def test_spellings_without_separator_split_before_the_quote(typed: str, base: str, quote: str) -> None:
    assert parse_symbol(typed) == Symbol(base, quote)


def test_a_known_pair_wins_over_the_longest_quote() -> None:
    known = {Symbol("AUSD", "T")}
    assert parse_symbol("ausdt", known) == Symbol("AUSD", "T")


def test_ambiguous_spellings_name_the_pairs() -> None:
    known = {Symbol("AB", "CD"), Symbol("ABC", "D")}
    with pytest.raises(UnknownSymbol, match=r"several pairs.*AB-CD.*ABC-D"):
        parse_symbol("abcd", known)


def test_near_matches_are_offered() -> None:
    with pytest.raises(UnknownSymbol) as caught:
        parse_symbol("btc-usdd", KNOWN)
    assert set(caught.value.near) >= {"BTC-USDT", "BTC-USDC"}


@pytest.mark.parametrize("typed", ["", "btc", "a-b-c", "-", "btc--", "₿/usd", "btc usd t", "x" * 500])
def test_invalid_text_is_refused(typed: str) -> None:
    with pytest.raises(UnknownSymbol):
        parse_symbol(typed)


@given(st.text(max_size=40))
def test_any_text_resolves_or_is_refused(typed: str) -> None:
    try:
        symbol = parse_symbol(typed)
    except UnknownSymbol:
        return
    assert parse_symbol(str(symbol)) == symbol


def test_markets() -> None:
    assert parse_market("Binance:btcusdt") == Market("binance", Symbol("BTC", "USDT"))
    assert str(Market.canonical("kraken:BTC-EUR")) == "kraken:BTC-EUR"
    with pytest.raises(UnknownSymbol, match="did you mean binance"):
        parse_market("binnance:btcusdt", ["binance", "kraken"])
    with pytest.raises(UnknownSymbol, match="write it like binance:BTC-USDT"):
        parse_market("btcusdt")
