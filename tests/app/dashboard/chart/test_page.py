"""The Chart page, as Streamlit runs it."""

from __future__ import annotations

from sqlalchemy import text

from app.dashboard.ui import moments
from coinwatch.times import MINUTE_US
from tests.app.dashboard.pages import OpenPage, words
from tests.app.dashboard.stock import PRICES, Stock


def test_chart_shows_a_market(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", symbol="eth/usdt", exchange="kraken", interval="15m", overlays="sma20")
    shown = words(page)
    assert "ETH<span> / USDT</span><small>kraken" in shown
    assert "15m candles." in shown
    assert page.multiselect(key="overlays").value == ["SMA 20"]
    assert page.query_params == {
        "symbol": "ETH-USDT",
        "exchange": "kraken",
        "range": "1d",
        "interval": "15m",
        "overlays": "SMA 20",
    }


def test_chart_clamps_a_hand_edited_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", symbol="<b>x", exchange="mtgox", range="9y", interval="7m", overlays="zigzag")
    shown = words(page)
    for word in ("&lt;b&gt;x", "mtgox", "9y", "7m", "is not an indicator"):
        assert word in shown
    assert page.selectbox(key="symbol").value == "BTC-USDT"
    assert page.query_params["range"] == "1d"


def test_chart_follows_its_controls(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", exchange="coinbase")
    page.selectbox(key="symbol").set_value("ETH-USDT").run()
    assert page.selectbox(key="exchange").value == "binance"
    page.segmented_control(key="range").set_value("1w").run()
    page.segmented_control(key="interval").set_value("1m").run()
    assert "10,080 candles of 1m are too many for one chart. Showing 5m." in words(page)
    assert page.query_params["interval"] == "1m"


def test_chart_compares_markets(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", exchange="kraken", compare="binance:ETH-USDT")
    shown = words(page)
    assert "indexed to 100 at" in shown
    assert "binance:ETH-USDT" in shown
    assert page.query_params["compare"] == "binance:ETH-USDT"
    assert "Cannot be compared with: &lt;b&gt;" in words(open_page("chart", compare="<b>"))


def test_chart_shows_the_past_by_its_address(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    until_us = stock.now_us // MINUTE_US * MINUTE_US - 600 * MINUTE_US
    page = open_page("chart", symbol="BTC-USDT", range="6h", until=moments.iso(until_us))
    assert "1m candles" in words(page)
    assert moments.iso(until_us) in page.query_params["until"]
    page.button("chart_earlier").click().run()
    assert moments.iso(until_us - 180 * MINUTE_US) in page.query_params["until"]
    for _ in range(5):
        page.button("chart_later").click().run()
    assert "until" not in page.query_params
    page.text_input("chart_until").input("1999-01-01 10:00").run()
    assert "No candles of binance:BTC-USDT in the 6h before 1 Jan 1999, 10:00 UTC" in words(page)
    page.text_input("chart_until").input("soon").run()
    assert "is not a time" in words(page)


def test_chart_draws_indicators_and_offers_its_candles(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    page = open_page("chart", overlays="macd")
    words(page)
    assert page.query_params["overlays"] == "MACD 12 26 9"


def test_chart_marks_a_stale_price(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES, age_s=400)
    assert 'class="cw-badge stale"' in words(open_page("chart"))


def test_chart_without_candles_shows_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    stock.markets(list(PRICES))
    assert "No candles of binance:BTC-USDT yet" in words(open_page("chart"))


def test_chart_lists_missing_ranges(open_page: OpenPage, stock: Stock) -> None:
    ids = stock.day(PRICES)
    with stock.engine.begin() as conn:
        conn.execute(
            text("""update candle_coverage set covered = covered - tstzmultirange(tstzrange(
                now() - interval '3 hours', now() - interval '2 hours')) where market_id = :id"""),
            {"id": ids["binance:BTC-USDT"]},
        )
    assert "Hatched: candles not yet collected" in words(open_page("chart"))
