"""News feeds in any dialect, whole, cut short or none at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest

from coinwatch.errors import BadMessage
from coinwatch.settings import DEFAULT_FEEDS
from coinwatch.times import MINUTE_US, day_start_us, from_datetime, now_us
from simulator.providers.news import ATOM, ENTRIES, OUTLETS, WITHOUT_ETAG
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.http import Patience
from sources.providers import news
from tests.sources.scripted_server import answer, scripted

QUICK = Patience(attempts=2, read_s=2, first_wait_s=0.01, longest_wait_s=0.02)
NOW_US = day_start_us(date(2026, 11, 21)) + 600 * MINUTE_US


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=1) as simulator:
        yield simulator


async def test_every_feed_decodes_in_its_dialect(simulator: Simulator) -> None:
    budget = LocalBudget()
    for outlet in OUTLETS:
        url = f"{simulator.rest_url}/news/{outlet}"
        async with news.feed_http(outlet, url, budget, scale=1_000, patience=QUICK) as client:
            answered = await client.get(news.feed_request(url))
            feed = news.decode_feed(outlet, answered.body, now_us())
            again = await client.get(news.feed_request(url, answered.etag, answered.last_modified))
        assert (answered.etag is None) == (outlet == WITHOUT_ETAG)
        assert again.is_unchanged
        assert again.body == b""
        assert len(feed.articles) == ENTRIES
        assert feed.unreadable == (0 if outlet == ATOM else 1), "the advertisement"
        newest = feed.articles[0]
        assert newest.url.startswith(f"https://www.{outlet}.example/articles/")
        assert "utm" not in newest.url
        assert now_us() - 25 * MINUTE_US < newest.published_us <= now_us()


async def test_a_feed_may_have_moved_and_have_parameters() -> None:
    rss = '<rss version="2.0"><channel><title>x</title></channel></rss>'
    async with scripted(answer("", 301, location="/new?format=rss"), answer(rss)) as server:
        url = f"{server.root}/feed/?format=rss&a=1"
        async with news.feed_http("wire", url, LocalBudget(), scale=1_000, patience=QUICK) as client:
            answered = await client.get(news.feed_request(url))
    assert server.requests == ["/feed/?format=rss&a=1", "/new?format=rss"]
    assert news.decode_feed("wire", answered.body, NOW_US) == news.Feed([], 0)


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("A &amp;amp; B &lt;b&gt;rise&lt;/b&gt;", "A & B rise"),
        ("Is it &amp;lt; 5 or &amp;gt; 3?", "Is it < 5 or > 3?"),
        ("&amp;lt;script&amp;gt;x()&amp;lt;/script&amp;gt;News", "x()News"),
        ("<![CDATA[<i>Ether</i>\n  falls]]>", "Ether falls"),
        ("Caf\u00e9 &#8217;s &amp;#8212; price", "Caf\u00e9 \u2019s \u2014 price"),
    ],
)
def test_titles_are_plain_text(written: str, title: str) -> None:
    (article,) = news.decode_feed(
        "wire", rss(ITEM.format(title=written, link="https://a.b/1", date="")), 9
    ).articles
    assert article.title == title


ITEM = "<item><title>{title}</title><link>{link}</link><pubDate>{date}</pubDate></item>"


def rss(*items: str) -> bytes:
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{"".join(items)}</channel></rss>'.encode()


@pytest.mark.parametrize(
    ("pub_date", "published"),
    [
        ("Fri, 20 Nov 2026 10:00:00 +0200", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T10:00:00Z", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("", None),
        ("soon", None),
        ("Fri, 20 Nov 2037 10:00:00 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 20 Nov 99999 10:00:00 GMT", None),
    ],
)
def test_an_invalid_time_counts_as_now(pub_date: str, published: datetime | None) -> None:
    body = rss(
        ITEM.format(title="A &amp;amp; B &lt;b&gt;rise&lt;/b&gt;", link="https://a.example/1", date=pub_date)
    )
    (article,) = news.decode_feed("wire", body, NOW_US).articles
    assert article.title == "A & B rise"
    assert article.published_us == (from_datetime(published) if published else NOW_US)


def test_entries_without_title_or_url_are_counted() -> None:
    items = [
        ITEM.format(title=title, link=link, date="Fri, 20 Nov 2026 10:00:00 GMT")
        for title, link in [
            ("Bitcoin price rises once more", "https://a.example/1?utm_source=x"),
            ("", "https://a.example/3"),
            ("No address", ""),
            ("A script", "javascript:alert(1)"),
        ]
    ]
    feed = news.decode_feed("wire", rss(*items), NOW_US)
    assert [article.url for article in feed.articles] == ["https://a.example/1"]
    assert feed.unreadable == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<html><body>Just a moment...</body></html>",
        rss()[:-25],
        b"\0\xff\xfe",
        b"<?xml",
        b"https://a.example/feed",
    ],
)
def test_an_answer_that_is_not_a_feed_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage, match=r"wire: .*feed"):
        news.decode_feed("wire", body, NOW_US)


def test_a_truncated_feed_keeps_its_first_articles() -> None:
    items = [
        ITEM.format(title=f"Title number {number} of many", link=f"https://a.example/{number}", date="")
        for number in range(9)
    ]
    whole = rss(*items)
    cut = news.decode_feed("wire", whole[: len(whole) // 2], NOW_US)
    assert 0 < len(cut.articles) < 9
    assert not cut.is_whole
    assert news.decode_feed("wire", whole, NOW_US).is_whole


def test_entity_bombs_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY a{n} "{"".join(f"&a{n - 1};" for _ in range(10))}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "lol">{entities}]><rss version="2.0"><channel>'
    bomb += ITEM.format(title="&a11;", link="https://a.example/1", date="") + "</channel></rss>"
    feed = news.decode_feed("wire", bomb.encode(), NOW_US)
    assert all(len(article.title) <= 500 for article in feed.articles)


@pytest.mark.live
@pytest.mark.parametrize(("outlet", "url"), DEFAULT_FEEDS, ids=lambda part: part.partition(":")[0])
async def test_the_real_feeds_decode(outlet: str, url: str) -> None:
    async with news.feed_http(outlet, url, LocalBudget()) as client:
        feed = news.decode_feed(outlet, (await client.get(news.feed_request(url))).body, now_us())
    assert len(feed.articles) > 5
    assert feed.unreadable == 0
