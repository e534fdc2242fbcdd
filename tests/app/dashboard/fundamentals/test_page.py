"""The Fundamentals page, as Streamlit runs it."""

from __future__ import annotations

import pytest

from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.pages import NOWHERE, OpenPage, button, words
from tests.app.dashboard.stock import PRICES, Stock


def test_fundamentals_without_data_show_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    assert "No asset data yet" in words(open_page("fundamentals"))
    assert "The database does not answer" in words(open_page("fundamentals", url=NOWHERE))


def test_fundamentals_list_assets_and_show_an_asset(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    pipeline_rows.assets(stock, picture="https://img.example/btc.png")
    page = open_page("fundamentals")
    assert "2 of 2 assets" in words(page)
    page = open_page("fundamentals", category="meme", search="oth")
    assert "1 of 2 assets" in words(page)
    assert page.query_params == {"category": "Meme", "search": "oth"}
    assert "No matching assets" in words(open_page("fundamentals", search="<b>"))
    page = open_page("fundamentals", size="over $10 b", sort="furthest from ath")
    assert "1 of 2 assets" in words(page)
    assert page.query_params == {"size": "over $10 B", "sort": "Furthest from ATH"}
    assert "Last update:" in words(page)
    shown = words(open_page("fundamentals", size="<x>", sort="9"))
    assert "&lt;x&gt;" in shown
    assert "Unknown asset" in words(open_page("fundamentals", asset="<b>"))
    page = open_page("fundamentals", asset="bitcoin", measure="price")
    shown = words(page)
    for word in (
        "<b>67,000.00</b>",
        "of at most 21.0 M",
        "$7.0 B",
        "CoinMarketCap",
        "A currency.",
        "website: bitcoin.org",
        'href="fundamentals?category=Layer%201"',
        "<span>BTC</span>",
        "ethereum</td>",
        "Launched on 3 Jan 2009.",
        "Chart of BTC-USDT",
    ):
        assert word in shown
    assert "javascript" not in shown
    assert "img.example" not in shown
    assert page.query_params["measure"] == "Price"
    button(page, "All assets").click().run()
    assert "2 of 2 assets" in words(page)


def test_pictures_of_coins_are_shown_where_that_is_permitted(
    open_page: OpenPage, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline_rows.assets(stock, picture="https://img.example/btc.png")
    monkeypatch.setenv("COINWATCH_DASHBOARD_COIN_PICTURES", "true")
    shown = words(open_page("fundamentals", asset="bitcoin"))
    assert "background-image:url(&quot;https://img.example/btc.png&quot;)" in shown
