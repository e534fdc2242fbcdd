"""The Sentiment page, as Streamlit runs it."""

from __future__ import annotations

from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.pages import NOWHERE, OpenPage, words
from tests.app.dashboard.stock import PRICES, Stock


def test_sentiment_without_data_shows_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    shown = words(open_page("sentiment"))
    assert "No sentiment data yet" in shown
    assert "set <code>COINWATCH_X_BEARER_TOKEN</code>" in shown
    assert "The database does not answer" in words(open_page("sentiment", url=NOWHERE))


def test_sentiment_shows_the_market_and_each_asset(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    pipeline_rows.sentiment(stock)
    shown = words(open_page("sentiment"))
    for word in ("<b>23</b> extreme fear", "Ether falls", "Bitcoin &lt;b&gt;soars", "and 1 more"):
        assert word in shown
    page = open_page("sentiment", base="btc", range="1MO")
    shown = words(page)
    assert page.query_params == {"base": "BTC", "range": "1mo"}
    assert "Ether falls" not in shown
    assert "Price: daily closes of" in shown
    assert "X: 1,200 posts." in shown
    assert "News <b>+0.40</b>" in shown
    assert "How the score of BTC is calculated" in shown
    assert "No data yet; it is polled every hour" in shown
    page = open_page("sentiment", news="bad")
    assert "Ether falls" in words(page)
    assert "soars" not in words(page)
    assert page.query_params["news"] == "bad"
    shown = words(open_page("sentiment", base="<b>", range="9y"))
    assert "&lt;b&gt;" in shown
    assert "9y" in shown
    assert "<b>23</b> extreme fear" in words(open_page("overview"))
