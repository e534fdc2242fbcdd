"""Decoders of the sources of sentiment, against their stand-ins, documented answers, and junk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal, Retryable, SettingsError
from coinwatch.scoring import Source
from coinwatch.settings import DEFAULT_FEEDS
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, from_datetime, now_us, utc_day
from simulator.providers.alternative import FIRST_DAY
from simulator.providers.news import ATOM, ENTRIES, OUTLETS, WITHOUT_ETAG
from simulator.server import Simulator
from sources import alternative, coingecko_votes, gdelt, news, reddit, telegram, x
from sources.budgets import LocalBudget
from sources.coingecko import coingecko_http
from sources.http import HttpSource, Patience
from tests.sources.scripted_server import SILENCE, answer, scripted

QUICK = Patience(attempts=2, read_s=2, first_wait_s=0.01, longest_wait_s=0.02)
TODAY = date(2026, 11, 21)
NOW_US = day_start_us(TODAY) + 600 * MINUTE_US

TOKEN_OF_X = "AAAAB"  # noqa: S105 -- of the simulator
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=1) as simulator:
        yield simulator


async def test_fear_and_greed_of_any_number_of_days(simulator: Simulator) -> None:
    today = utc_day(now_us())
    async with alternative.alternative_http(
        f"{simulator.rest_url}/alternative", LocalBudget(), patience=QUICK
    ) as client:
        two = alternative.decode_index((await client.get(alternative.index_request(2))).body, today)
        everything = alternative.decode_index((await client.get(alternative.index_request(0))).body, today)
    assert [one.day for one in two.scores] == [today, today - timedelta(days=1)]
    assert everything.scores[:2] == two.scores
    assert everything.dropped == 0
    assert everything.scores[-1].day == date(2018, 2, 1) == utc_day(FIRST_DAY * DAY_US)
    assert len({one.value for one in everything.scores}) > 50
    assert all(-1 <= (one.score or 0) <= 1 for one in everything.scores)


def test_absurd_days_of_fear_and_greed_are_left_out() -> None:
    good = {"value": "40", "value_classification": "Fear", "timestamp": "1732147200"}
    rows: list[Any] = [
        good,
        {**good, "value": "101"},
        {**good, "value": "-3"},
        {**good, "value": None},
        {**good, "timestamp": "9" * 30},
        {**good, "timestamp": "1"},
        {**good, "timestamp": "1893456000"},
        "nonsense",
    ]
    read = alternative.decode_index(json.dumps({"data": rows}).encode(), TODAY)
    assert [(one.day, one.value, one.score, one.detail) for one in read.scores] == [
        (date(2024, 11, 21), 40.0, -0.2, {"label": "Fear"})
    ]
    assert read.dropped == len(rows) - 1
    with pytest.raises(BadMessage, match="limit is no number"):
        alternative.decode_index(b'{"data":null,"metadata":{"error":"limit is no number"}}', TODAY)


async def test_tones_of_an_asset_of_the_market_and_of_nothing(simulator: Simulator) -> None:
    today = utc_day(now_us())
    async with gdelt.gdelt_http(
        f"{simulator.rest_url}/gdelt", LocalBudget(), scale=20, patience=QUICK
    ) as client:
        bitcoin = await client.get(gdelt.tone_request(("Bitcoin",)))
        market = await client.get(gdelt.tone_request(gdelt.MARKET_PHRASES))
        nothing = await client.get(gdelt.tone_request(("Atlantis Coin",)))
        with pytest.raises(Fatal, match=r"gdelt: .*The specified phrase is too short"):
            await client.get(gdelt.tone_request(("ab",)))
    tones = gdelt.decode_tones(bitcoin.body, "BTC", today)
    assert len(tones.scores) == gdelt.HISTORY_DAYS + 2
    assert tones.dropped == 0
    assert tones.scores[-1].day == today
    assert len({one.value for one in gdelt.decode_tones(market.body, None, today).scores}) > 80
    assert gdelt.decode_tones(nothing.body, "ATL", today).scores == []


async def test_gdelt_refuses_who_asks_too_often(simulator: Simulator) -> None:
    """In plain text; nobody asks it again for some seconds."""
    simulator.fail_rest("gdelt", 429, times=1, retry_after_s=700)
    async with gdelt.gdelt_http(f"{simulator.rest_url}/gdelt", LocalBudget(), patience=QUICK) as client:
        with pytest.raises(Retryable, match="429") as refused:
            await client.get(gdelt.tone_request(("Bitcoin",)))
    assert refused.value.retry_after_s == 700


def test_absurd_tones_are_left_out() -> None:
    good = {"date": "20261120T000000Z", "value": -1.25}
    rows = [
        good,
        {**good, "value": 4711},
        {**good, "value": "1"},
        {**good, "value": True},
        {**good, "date": "20270101T000000Z"},
        {**good, "date": "yesterday"},
        {**good, "date": None},
        7,
    ]
    body = json.dumps(
        {"timeline": [{"series": "Volume", "data": [good]}, {"series": "Average Tone", "data": rows}]}
    )
    read = gdelt.decode_tones(body.encode(), "BTC", TODAY)
    assert [(one.day, one.value, one.score) for one in read.scores] == [(date(2026, 11, 20), -1.25, -0.125)]
    assert read.dropped == len(rows) - 1


async def test_every_outlet_is_read_in_its_dialect(simulator: Simulator) -> None:
    budget = LocalBudget()
    for outlet in OUTLETS:
        url = f"{simulator.rest_url}/news/{outlet}"
        async with news.feed_http(outlet, url, budget, scale=1_000, patience=QUICK) as client:
            told = await client.get(news.feed_request(url))
            feed = news.decode_feed(outlet, told.body, now_us())
            again = await client.get(news.feed_request(url, told.etag, told.last_modified))
        assert (told.etag is None) == (outlet == WITHOUT_ETAG)
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
            told = await client.get(news.feed_request(url))
    assert server.requests == ["/feed/?format=rss&a=1", "/new?format=rss"]
    assert news.decode_feed("wire", told.body, NOW_US) == news.Feed([], 0)


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
def test_times_that_cannot_be_are_now(pub_date: str, published: datetime | None) -> None:
    body = rss(
        ITEM.format(title="A &amp;amp; B &lt;b&gt;rise&lt;/b&gt;", link="https://a.example/1", date=pub_date)
    )
    (article,) = news.decode_feed("wire", body, NOW_US).articles
    assert article.title == "A & B rise"
    assert article.published_us == (from_datetime(published) if published else NOW_US)


def test_what_has_no_title_or_address_is_counted() -> None:
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
def test_what_is_no_feed_is_named(body: bytes) -> None:
    with pytest.raises(BadMessage, match=r"wire: .*feed"):
        news.decode_feed("wire", body, NOW_US)


def test_a_feed_that_is_cut_short_keeps_what_came() -> None:
    items = [
        ITEM.format(title=f"Title number {number} of many", link=f"https://a.example/{number}", date="")
        for number in range(9)
    ]
    whole = rss(*items)
    cut = news.decode_feed("wire", whole[: len(whole) // 2], NOW_US)
    assert 0 < len(cut.articles) < 9
    assert not cut.is_whole
    assert news.decode_feed("wire", whole, NOW_US).is_whole


def test_a_bomb_is_not_unfolded() -> None:
    entities = "".join(f'<!ENTITY a{n} "{"".join(f"&a{n - 1};" for _ in range(10))}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "lol">{entities}]><rss version="2.0"><channel>'
    bomb += ITEM.format(title="&a11;", link="https://a.example/1", date="") + "</channel></rss>"
    feed = news.decode_feed("wire", bomb.encode(), NOW_US)
    assert all(len(article.title) <= 500 for article in feed.articles)


async def test_messages_of_a_channel(simulator: Simulator) -> None:
    async with telegram.telegram_http(
        f"{simulator.rest_url}/telegram", LocalBudget(), scale=1_000, patience=QUICK
    ) as client:
        page = await client.get(telegram.channel_request("@some_channel"))
        private = await client.get(telegram.channel_request("private_one"))
    messages = telegram.decode_channel("some_channel", page.body, now_us())
    assert len(messages.texts) == 20
    assert messages.unreadable == 0
    assert messages.texts[-1].url.startswith("https://t.me/some_channel/")
    assert messages.texts[-1].title.endswith(" Read more"), "all the words, without their markup"
    with pytest.raises(BadMessage, match="private_one: no public channel"):
        telegram.decode_channel("private_one", private.body, now_us())


def test_names_that_cannot_be_asked_for_are_left_out() -> None:
    assert gdelt.phrases_of(["X", 'The "Q"', "", "XRP", "Ripple"]) == ("The Q", "XRP")
    assert '"' not in x.counts_request("Q", 'The "Q" coin').params["query"].replace('"The  Q  coin"', "")


@pytest.mark.parametrize("name", ["", "a", "../../etc", "has space", "1digit", "https://t.me/x"])
def test_what_cannot_be_a_channel_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(SettingsError, match="COINWATCH_TELEGRAM_CHANNELS"):
        telegram.channel_request(name)


async def test_counts_of_posts(simulator: Simulator) -> None:
    today = utc_day(now_us())
    root = f"{simulator.rest_url}/x"
    async with x.x_http(root, LocalBudget(), token=TOKEN_OF_X, patience=QUICK) as client:
        counts = x.decode_counts((await client.get(x.counts_request("BTC", "Bitcoin"))).body, "BTC", today)
    assert [one.day for one in counts] == [today - timedelta(days=back) for back in range(6, -1, -1)]
    assert all(one.items and one.score is None and one.value == one.items for one in counts)
    async with x.x_http(root, LocalBudget(), token=TOKEN_OF_X[::-1] + "?", patience=QUICK) as client:
        with pytest.raises(Fatal, match=r"x: .*401.*Unauthorized"):
            await client.get(x.counts_request("BTC", "Bitcoin"))


async def test_votes(simulator: Simulator) -> None:
    root = f"{simulator.rest_url}/coingecko"
    async with coingecko_http(root, LocalBudget(), key=None, scale=1_000, patience=QUICK) as client:
        told = await client.get(coingecko_votes.votes_request("bitcoin"))
        with pytest.raises(Fatal, match="coin not found"):
            await client.get(coingecko_votes.votes_request("atlantis"))
    votes = coingecko_votes.decode_votes(told.body, "BTC", TODAY)
    assert votes.value is not None
    assert votes.score == pytest.approx(votes.value / 50 - 1, abs=1e-6)
    assert votes.detail["reddit_subscribers"] > 0
    nobody = coingecko_votes.decode_votes(b'{"id":"x","sentiment_votes_up_percentage":null}', "X", TODAY)
    assert (nobody.value, nobody.score) == (None, None)
    with pytest.raises(BadMessage, match="votes of 250 % for BTC"):
        coingecko_votes.decode_votes(b'{"id":"bitcoin","sentiment_votes_up_percentage":250}', "BTC", TODAY)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "alternative": lambda body: alternative.decode_index(body, TODAY),
    "gdelt": lambda body: gdelt.decode_tones(body, "BTC", TODAY),
    "x": lambda body: x.decode_counts(body, "BTC", TODAY),
    "votes": lambda body: coingecko_votes.decode_votes(body, "BTC", TODAY),
    "news": lambda body: news.decode_feed("wire", body, NOW_US),
    "telegram": lambda body: telegram.decode_channel("wire", body, NOW_US),
}


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"[1,2", b"<html>", b'{"data":7,"timeline":7}', b"[" * 9_999]
)
def test_junk_is_a_bad_message(decode: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(body)


keys = st.sampled_from(
    [
        "data",
        "timeline",
        "series",
        "value",
        "timestamp",
        "date",
        "start",
        "tweet_count",
        "id",
        "community_data",
    ]
)
rows = st.dictionaries(keys, json_values, max_size=4)


@given(st.dictionaries(keys, st.lists(rows, max_size=3) | rows | json_values, max_size=4))
def test_any_json_is_read_or_a_bad_message(answered: dict[str, Any]) -> None:
    body = json.dumps(answered).encode()
    for name in ("alternative", "gdelt", "x", "votes"):
        with suppress(BadMessage):
            DECODERS[name](body)


@given(
    st.lists(
        st.sampled_from(
            [
                "<rss version='2.0'>",
                "<channel>",
                "<item>",
                "</item>",
                "<title>",
                "</title>",
                "<link>",
                "https://a.b/c",
                "&#0;",
                "<div class='tgme_widget_message' data-post='a/1'>",
                "<div class='tgme_widget_message_text'>",
                "</div>",
                "text",
                "<time datetime='2026-11-20T10:00:00+00:00'>",
                "<![CDATA[",
                "]]>",
                "&amp;",
                "<pubDate>",
                "\0",
                "<!--",
            ]
        ),
        max_size=20,
    )
)
def test_any_markup_is_read_or_a_bad_message(pieces: list[str]) -> None:
    for name in ("news", "telegram"):
        with suppress(BadMessage):
            DECODERS[name]("".join(pieces).encode())


# What asyncprawcore asks of aiohttp is deprecated there.
of_asyncpraw = pytest.mark.filterwarnings("ignore:.*(BasicAuth|'auth' parameter).*:DeprecationWarning")


def listing(*posts: dict[str, Any]) -> bytes:
    children = [{"kind": "t3", "data": post} for post in posts]
    return answer(
        json.dumps({"kind": "Listing", "data": {"children": children, "after": None, "before": None}}),
        content_type="application/json",
    )


TOKEN = answer(
    '{"access_token":"t","token_type":"bearer","expires_in":86400,"scope":"*"}',
    content_type="application/json",
)
POST = {
    "id": "abc",
    "title": "Bitcoin is back",
    "permalink": "/r/Bitcoin/comments/abc/bitcoin_is_back/",
    "created_utc": NOW_US / 1e6 - 60,
}


@of_asyncpraw
async def test_posts_of_a_subreddit() -> None:
    late = {**POST, "id": "late", "created_utc": NOW_US / 1e6 + 86_400}
    async with (
        scripted(TOKEN, listing(POST, late)) as server,
        reddit.reddit_client(server.root, "id", "secret") as client,
    ):
        (post,) = await reddit.newest_posts(client, "Bitcoin", NOW_US)
    assert server.requests[0] == "/api/v1/access_token"
    assert server.requests[1].startswith("/r/Bitcoin/new")
    assert post.url == "https://www.reddit.com/r/Bitcoin/comments/abc/bitcoin_is_back"
    assert (post.title, post.published_us) == ("Bitcoin is back", NOW_US - MINUTE_US)


@pytest.mark.parametrize(
    ("answers", "error", "problem"),
    [
        ([answer("{}", 401)], Fatal, "COINWATCH_REDDIT_CLIENT_ID"),
        ([TOKEN, answer('{"reason":"private"}', 403, content_type="application/json")], Fatal, "Forbidden"),
        ([TOKEN, answer('{"message":"Not Found"}', 404, content_type="application/json")], Fatal, "NotFound"),
        ([TOKEN, answer("slow down", 429, retry_after="7")], Retryable, "TooManyRequests"),
        ([TOKEN, answer("<html>", content_type="text/html")], Retryable, "unexpected mimetype: text/html"),
        ([TOKEN, answer('{"kind":"Listing"}', content_type="application/json")], BadMessage, "r/Bitcoin"),
        ([TOKEN, SILENCE], Retryable, "no answer within"),
    ],
    ids=["key", "private", "gone", "429", "html", "no list", "silence"],
)
@of_asyncpraw
async def test_what_reddit_refuses_is_named(
    answers: list[bytes], error: type[Exception], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reddit, "TOTAL_S", 1.0)
    async with scripted(*answers) as server, reddit.reddit_client(server.root, "id", "secret") as client:
        with pytest.raises(error, match=problem):
            await reddit.newest_posts(client, "Bitcoin", NOW_US)


async def test_pages_of_markup_are_refused_where_json_is_due() -> None:
    async with scripted(answer("<html>")) as server:
        async with alternative.alternative_http(server.root, LocalBudget(), patience=QUICK) as client:
            with pytest.raises(BadMessage, match="HTML"):
                await client.get(alternative.index_request(1))
        async with HttpSource(
            "page", server.root, LocalBudget(), alternative.LIMIT, takes_markup=True
        ) as client:
            assert (await client.get(alternative.index_request(1))).body == b"<html>"


def test_sources_are_called_as_their_settings() -> None:
    assert {reddit.NAME, x.NAME, telegram.NAME, gdelt.NAME} <= set(Source)


@pytest.mark.live
async def test_the_real_ones_are_as_documented() -> None:
    today = utc_day(now_us())
    budget = LocalBudget()
    async with alternative.alternative_http("https://api.alternative.me", budget) as client:
        index = alternative.decode_index((await client.get(alternative.index_request(10))).body, today)
    assert (len(index.scores), index.dropped) == (10, 0)
    async with gdelt.gdelt_http("https://api.gdeltproject.org", budget) as client:
        tones = gdelt.decode_tones((await client.get(gdelt.tone_request(["Bitcoin"]))).body, "BTC", today)
    assert len(tones.scores) > 60
    assert tones.dropped == 0


@pytest.mark.live
@pytest.mark.parametrize(("outlet", "url"), DEFAULT_FEEDS, ids=lambda part: part.partition(":")[0])
async def test_the_real_outlets_are_read(outlet: str, url: str) -> None:
    async with news.feed_http(outlet, url, LocalBudget()) as client:
        feed = news.decode_feed(outlet, (await client.get(news.feed_request(url))).body, now_us())
    assert len(feed.articles) > 5
    assert feed.unreadable == 0
