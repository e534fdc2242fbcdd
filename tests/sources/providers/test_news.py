"""News feeds in any dialect, whole, cut short or none at all."""

from __future__ import annotations

import time
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
from sources.providers.feed_parser import Feed, decode_feed, parse_feed
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
            feed = decode_feed(outlet, answered.body, now_us())
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
    assert decode_feed("wire", answered.body, NOW_US) == Feed([], 0)


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("A &amp;amp; B &lt;b&gt;rise&lt;/b&gt;", "A & B rise"),
        ("Is it &amp;lt; 5 or &amp;gt; 3?", "Is it < 5 or > 3?"),
        ("&amp;lt;script&amp;gt;x()&amp;lt;/script&amp;gt;News", "News"),
        ("<![CDATA[<i>Ether</i>\n  falls]]>", "Ether falls"),
        ("Caf\u00e9 &#8217;s &amp;#8212; price", "Caf\u00e9 \u2019s \u2014 price"),
    ],
)
def test_titles_are_plain_text(written: str, title: str) -> None:
    (article,) = decode_feed(
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
    (article,) = decode_feed("wire", body, NOW_US).articles
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
    feed = decode_feed("wire", rss(*items), NOW_US)
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
        decode_feed("wire", body, NOW_US)


def test_a_truncated_feed_keeps_its_first_articles() -> None:
    items = [
        ITEM.format(title=f"Title number {number} of many", link=f"https://a.example/{number}", date="")
        for number in range(9)
    ]
    whole = rss(*items)
    cut = decode_feed("wire", whole[: len(whole) // 2], NOW_US)
    assert 0 < len(cut.articles) < 9
    assert not cut.is_whole
    assert decode_feed("wire", whole, NOW_US).is_whole


def test_entity_bombs_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY a{n} "{"".join(f"&a{n - 1};" for _ in range(10))}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "lol">{entities}]><rss version="2.0"><channel>'
    bomb += ITEM.format(title="&a11;", link="https://a.example/1", date="") + "</channel></rss>"
    feed = decode_feed("wire", bomb.encode(), NOW_US)
    assert all(len(article.title) <= 500 for article in feed.articles)


async def test_a_feed_that_takes_too_long_is_ended() -> None:
    """An expression of feedparser takes the square of the length of an author."""
    body = rss(f"<item><title>a</title><author>{'a.' * 100_000}</author></item>")
    began_s = time.monotonic()
    with pytest.raises(BadMessage, match="took too long or too much memory"):
        await parse_feed("wire", body, NOW_US, limit_s=1)
    assert time.monotonic() - began_s < 20


async def test_feeds_are_parsed_by_a_process() -> None:
    items = ITEM.format(title="Bitcoin rises", link="https://a.example/1", date="")
    assert await parse_feed("wire", rss(items), NOW_US) == decode_feed("wire", rss(items), NOW_US)
    with pytest.raises(BadMessage, match="wire: the answer is not a feed"):
        await parse_feed("wire", b"<html/>", NOW_US)


@pytest.mark.parametrize(
    "title",
    ["&lt;a" * 100_000, "<![CDATA[" + "<a" * 200_000 + "]]>", "&amp;#" + "9" * 5_000 + ";", "<b>" * 9_999],
)
def test_titles_may_be_anything(title: str) -> None:
    began_s = time.process_time()
    decode_feed("wire", rss(ITEM.format(title=title, link="https://a.example/1", date="")), NOW_US)
    assert time.process_time() - began_s < 2


def test_validators_that_cannot_be_sent_are_left_out() -> None:
    sent = news.feed_request("https://a.example/feed", '"caf\u00e9"', "x" * 2_000).headers
    assert sent == {}
    assert news.feed_request("https://a.example/feed", '"1"').headers == {"If-None-Match": '"1"'}


@pytest.mark.live
@pytest.mark.parametrize(("outlet", "url"), DEFAULT_FEEDS, ids=lambda part: part.partition(":")[0])
async def test_the_real_feeds_decode(outlet: str, url: str) -> None:
    async with news.feed_http(outlet, url, LocalBudget()) as client:
        feed = decode_feed(outlet, (await client.get(news.feed_request(url))).body, now_us())
    assert len(feed.articles) > 5
    assert feed.unreadable == 0
