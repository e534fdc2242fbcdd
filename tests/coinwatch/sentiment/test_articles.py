"""URLs and titles of articles: which articles are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.sentiment.articles import LONGEST_TITLE, Text, canonical_url, title_key, without_copies


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://News.example/a/b/?utm_source=rss&utm_medium=feed#top", "https://news.example/a/b"),
        ("http://news.example:8080/a?id=7&fbclid=x&ref=home", "http://news.example:8080/a?id=7"),
        (" https://news.example ", "https://news.example"),
        ("https://www.news.example/a", "https://www.news.example/a"),
        ("ftp://news.example/a", None),
        ("javascript:alert(1)", None),
        ("/relative", None),
        ("https://[broken/", None),
        ("https://news.example:port/", None),
        ("https://news.example/a\0", None),
        ("https://news.example/" + "x" * 2_000, None),
        ("https://news.example/" + "\u20ac" * 700, None),
        ("", None),
    ],
)
def test_canonical_urls_have_no_tracking_parameters(url: str, canonical: str | None) -> None:
    assert canonical_url(url) == canonical


@given(st.text())
def test_canonical_urls_are_stable(url: str) -> None:
    canonical = canonical_url(url)
    assert canonical is None or canonical_url(canonical) == canonical


@given(st.from_regex(r"https://[a-z]{1,9}\.example(/[a-z%?&=+#\[\]]*)?", fullmatch=True))
def test_canonical_urls_of_valid_urls_are_stable(url: str) -> None:
    canonical = canonical_url(url)
    assert canonical is None or canonical_url(canonical) == canonical


def test_copies_share_a_key() -> None:
    titles = [
        "Bitcoin\u2019s price jumps 5.2% on ETF inflows",
        "Bitcoin's Price Jumps 5.2% on ETF Inflows | CoinDesk",
        "  bitcoin's price jumps: 5.2% on ETF inflows! - CoinDesk",
    ]
    assert {title_key(title, "coindesk") for title in titles} == {"bitcoin's price jumps 5.2 on etf inflows"}


def test_different_titles_have_different_keys() -> None:
    assert title_key("Bitcoin price jumps 5.2%") != title_key("Bitcoin price jumps 5.3%")
    assert title_key("Bitcoin price jumps - Solana falls", "coindesk") != title_key(
        "Bitcoin price jumps today"
    )
    assert title_key("Market wrap | CoinDesk", "coindesk") is None, "too short to identify copies"


def test_a_key_is_no_longer_than_a_title() -> None:
    key = title_key("\ufdfa \ufdfb " * 200)
    assert key is not None
    assert len(key) <= LONGEST_TITLE, "although one character became eighteen"


def test_the_first_of_copies_is_kept() -> None:
    first = Text("https://a.example/1", "Bitcoin price jumps again", 3)
    same_title = Text("https://a.example/2", "BITCOIN price jumps again", 2)
    same_url = Text("https://a.example/1", "Another title altogether now", 1)
    short = [Text("https://a.example/3", "Market wrap", 3), Text("https://a.example/4", "Market wrap", 2)]
    assert without_copies([first, same_title, same_url, *short]) == [first, *short]
