"""The Overview page, as Streamlit runs it."""

from __future__ import annotations

from tests.app.dashboard.pages import OpenPage, words
from tests.app.dashboard.stock import PRICES, Stock


def test_overview_shows_a_card_per_symbol(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    shown = words(open_page("overview"))
    assert "67,144.02" in shown  # the median of three: coinbase
    assert "2 of" not in shown
    assert "5</b> of 5 markets live" in shown
    assert "Only binance and kraken: a reliable average needs 3 exchanges" in shown
    assert "24 h" in shown
    assert 'href="chart?symbol=BTC-USDT"' in shown


def test_overview_marks_stale_prices(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES, age_s=400)
    shown = words(open_page("overview"))
    assert shown.count('class="cw-badge stale"') == 2
    assert "No exchange is live: last known price" in shown
    assert "0</b> of 5 markets live" in shown


def test_overview_without_any_trade_asks_for_the_daemon(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES), streaming=False)
    assert "Is the ingest daemon running?" in words(open_page("overview"))


def test_overview_without_trades_shows_the_state_of_exchanges(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES))
    shown = words(open_page("overview"))
    assert "kraken is live, but has no trades yet" in shown
    assert "Is the ingest daemon running?" not in shown


def test_overview_shows_the_symbols_in_its_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("overview", symbols="ethusdt")
    assert page.multiselect(key="symbols").value == ["ETH-USDT"]
    assert "ETH<span> / USDT" in words(page)
    assert "BTC<span> / USDT" not in words(page)
    assert "no market trades DOGE-USDT" in words(open_page("overview", symbols="DOGE-USDT"))
