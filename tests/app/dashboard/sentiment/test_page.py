"""The Sentiment page, as Streamlit runs it."""

from __future__ import annotations

from tests.app.dashboard import read_text
from tests.app.dashboard.pages import NOWHERE, OpenPage, words
from tests.app.dashboard.stock import PRICES, Stock


def test_sentiment_without_anything_says_what_to_do(open_page: OpenPage, stock: Stock) -> None:
    said = words(open_page("sentiment"))
    assert "Nothing is known of sentiment yet" in said
    assert "set <code>COINWATCH_X_BEARER_TOKEN</code>" in said
    assert "The database does not answer" in words(open_page("sentiment", url=NOWHERE))


def test_sentiment_shows_the_market_and_each_asset(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    read_text.sentiment(stock)
    said = words(open_page("sentiment"))
    for word in ("<b>23</b> extreme fear", "Ether falls", "Bitcoin &lt;b&gt;soars", "and 1 more"):
        assert word in said
    page = open_page("sentiment", base="btc", range="1MO")
    said = words(page)
    assert page.query_params == {"base": "BTC", "range": "1mo"}
    assert "Ether falls" not in said
    assert "Price: daily closes of" in said
    assert "X: 1,200 posts." in said
    assert "News <b>+0.40</b>" in said
    assert "How the score of BTC comes about" in said
    assert "Nothing told yet: it is asked every hour" in said
    page = open_page("sentiment", news="bad")
    assert "Ether falls" in words(page)
    assert "soars" not in words(page)
    assert page.query_params["news"] == "bad"
    said = words(open_page("sentiment", base="<b>", range="9y"))
    assert "&lt;b&gt;" in said
    assert "9y" in said
    assert "<b>23</b> extreme fear" in words(open_page("overview"))
