"""The Averages page, as Streamlit runs it."""

from __future__ import annotations

from app.dashboard.ui import moments
from coinwatch.times import MINUTE_US, SECOND_US, to_datetime
from coinwatch.windows import Window
from tests.app.dashboard.pages import OpenPage, lately, words
from tests.app.dashboard.stock import BTC_PRICES, PRICES, Stock


def test_averages_show_their_constituents(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    stock.averages("BTC-USDT", BTC_PRICES, lately(stock))
    page = open_page("averages", symbol="btc/usdt", range="5m", overlays="ema5")
    shown = words(page)
    assert "<small>average of 2</small>" in shown
    assert "Constituents now" in shown
    assert "its last trade is 75 s old" in shown
    assert "Share of volume" in shown
    assert page.query_params == {"symbol": "BTC-USDT", "range": "5m", "overlays": "EMA 5"}


def test_averages_of_a_moment_are_marked_as_past(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    stock.averages("BTC-USDT", BTC_PRICES, lately(stock))
    at = f"{to_datetime(stock.now_us - 2 * MINUTE_US):%Y-%m-%dT%H:%M:%SZ}"
    page = open_page("averages", at=at)
    assert "Constituents at" in words(page)
    assert page.query_params["at"] == at
    next(button for button in page.button if button.label == "Now").click().run()
    assert "Constituents now" in words(page)
    assert "at" not in page.query_params
    long_ago = words(open_page("averages", at="2020-01-01 10:00"))
    assert "older than the retention limit, or the daemon was not running." in long_ago


def test_averages_of_a_moment_long_ago_are_drawn_around_it(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    at_us = stock.now_us // SECOND_US * SECOND_US - 240 * MINUTE_US
    stock.averages("BTC-USDT", BTC_PRICES, Window(at_us - 5 * MINUTE_US, at_us + 5 * MINUTE_US))
    shown = words(open_page("averages", symbol="BTC-USDT", range="1h", at=moments.iso(at_us)))
    assert "A point every 12 s" in shown
    assert "Constituents at" in shown
    assert "No average" not in shown


def test_averages_refuse_wrong_addresses_and_report_when_empty(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    shown = words(open_page("averages", symbol="doge", range="9y", overlays="x", at="<i>"))
    for word in ("doge", "9y", "is not an indicator", "&lt;i&gt;", "is not a time", "No average of BTC-USDT"):
        assert word in shown


def test_an_old_average_is_marked(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    old_us = stock.now_us // SECOND_US * SECOND_US - 3 * MINUTE_US
    stock.averages("BTC-USDT", BTC_PRICES, Window(old_us - MINUTE_US, old_us))
    shown = words(open_page("averages"))
    assert 'class="cw-badge stale"' in shown
    assert "Last known constituents" in shown
