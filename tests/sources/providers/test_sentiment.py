"""Decoders of the sources of sentiment, against their stand-ins, documented answers, and junk."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal, Retryable, SettingsError
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, now_us, utc_day
from simulator.providers.alternative import FIRST_DAY
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.http import HttpSource, Patience
from sources.providers import alternative, coingecko_votes, gdelt, reddit, telegram, x
from sources.providers.coingecko import coingecko_http
from sources.providers.feed_parser import decode_feed
from tests.sources.scripted_server import answer, scripted

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
    assert [score.day for score in two.scores] == [today, today - timedelta(days=1)]
    assert everything.scores[:2] == two.scores
    assert everything.dropped == 0
    assert everything.scores[-1].day == date(2018, 2, 1) == utc_day(FIRST_DAY * DAY_US)
    assert len({score.value for score in everything.scores}) > 50
    assert all(-1 <= (score.score or 0) <= 1 for score in everything.scores)


def test_invalid_days_of_fear_and_greed_are_dropped() -> None:
    good = {"value": "40", "value_classification": "Fear", "timestamp": "1732147200"}
    rows: list[Any] = [
        good,
        {**good, "value": "101"},
        {**good, "value": "-3"},
        {**good, "value": None},
        {**good, "timestamp": "9" * 30},
        {**good, "timestamp": "1"},
        {**good, "timestamp": "1893456000"},
        "text",
    ]
    read = alternative.decode_index(json.dumps({"data": rows}).encode(), TODAY)
    assert [(score.day, score.value, score.score, score.detail) for score in read.scores] == [
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
    assert len({score.value for score in gdelt.decode_tones(market.body, None, today).scores}) > 80
    assert gdelt.decode_tones(nothing.body, "ATL", today).scores == []


async def test_gdelt_refuses_too_many_requests(simulator: Simulator) -> None:
    """In plain text; no further request is sent for some seconds."""
    simulator.fail_rest("gdelt", 429, times=1, retry_after_s=700)
    async with gdelt.gdelt_http(f"{simulator.rest_url}/gdelt", LocalBudget(), patience=QUICK) as client:
        with pytest.raises(Retryable, match="429") as refused:
            await client.get(gdelt.tone_request(("Bitcoin",)))
    assert refused.value.retry_after_s == 700


def test_invalid_tones_are_dropped() -> None:
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
    assert [(score.day, score.value, score.score) for score in read.scores] == [
        (date(2026, 11, 20), -1.25, -0.125)
    ]
    assert read.dropped == len(rows) - 1


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
    with pytest.raises(BadMessage, match="private_one: not a public channel"):
        telegram.decode_channel("private_one", private.body, now_us())


def test_names_unusable_as_phrases_are_left_out() -> None:
    assert gdelt.phrases_of(["X", 'The "Q"', "", "XRP", "Ripple"]) == ("The Q", "XRP")
    assert '"' not in x.counts_request("Q", 'The "Q" coin').params["query"].replace('"The  Q  coin"', "")


@pytest.mark.parametrize("name", ["", "a", "../../etc", "has space", "1digit", "https://t.me/x"])
def test_an_invalid_channel_name_is_a_settings_error(name: str) -> None:
    with pytest.raises(SettingsError, match="COINWATCH_TELEGRAM_CHANNELS"):
        telegram.channel_request(name)


async def test_counts_of_posts(simulator: Simulator) -> None:
    today = utc_day(now_us())
    root = f"{simulator.rest_url}/x"
    async with x.x_http(root, LocalBudget(), token=TOKEN_OF_X, patience=QUICK) as client:
        counts = x.decode_counts((await client.get(x.counts_request("BTC", "Bitcoin"))).body, "BTC", today)
    assert [score.day for score in counts] == [today - timedelta(days=back) for back in range(6, -1, -1)]
    assert all(score.items and score.score is None and score.value == score.items for score in counts)
    async with x.x_http(root, LocalBudget(), token=TOKEN_OF_X[::-1] + "?", patience=QUICK) as client:
        with pytest.raises(Fatal, match=r"x: .*401.*Unauthorized"):
            await client.get(x.counts_request("BTC", "Bitcoin"))


def test_a_telegram_post_is_its_own_words_alone() -> None:
    """Neither the post it replies to, nor a service message such as a changed picture."""
    page = telegram_page(
        '<a class="tgme_widget_message_reply" href="https://t.me/wire/6">'
        '<div class="tgme_widget_message_text js-message_reply_text">Bitcoin falls.</div></a>'
        '<div class="tgme_widget_message_text js-message_text">Ethereum<br/>recovers.</div>',
        '<a class="tgme_widget_message_reply"><div class="tgme_widget_message_text">Quoted.</div></a>',
    ) + telegram_page(
        '<div class="tgme_widget_message_text js-message_text">Wire pinned «a photo»</div>',
        classes="service_message",
    )
    texts = telegram.decode_channel("wire", page.encode(), NOW_US).texts
    assert [post.title for post in texts] == ["Ethereum recovers."]


def test_posts_that_never_end_are_read_in_linear_time() -> None:
    post = '<div class="tgme_widget_message" data-post="a/1"><div class="tgme_widget_message_text">words'
    began_s = time.process_time()
    telegram.decode_channel("wire", (post * 20_000).encode(), NOW_US)
    assert time.process_time() - began_s < 3


def telegram_page(*bodies: str, classes: str = "") -> str:
    return "".join(
        f'<div class="tgme_widget_message {classes}" data-post="wire/{number}">{body}'
        '<time datetime="2026-11-20T10:00:00+00:00"></time></div>'
        for number, body in enumerate(bodies, 7)
    )


async def test_votes(simulator: Simulator) -> None:
    root = f"{simulator.rest_url}/coingecko"
    async with coingecko_http(root, LocalBudget(), key=None, scale=1_000, patience=QUICK) as client:
        answered = await client.get(coingecko_votes.votes_request("bitcoin"))
        with pytest.raises(Fatal, match="coin not found"):
            await client.get(coingecko_votes.votes_request("atlantis"))
    votes = coingecko_votes.decode_votes(answered.body, "BTC", TODAY)
    assert votes.value is not None
    assert votes.score == pytest.approx(votes.value / 50 - 1, abs=1e-6)
    assert votes.detail["watchlist_portfolio_users"] > 0
    without_votes = coingecko_votes.decode_votes(
        b'{"id":"x","sentiment_votes_up_percentage":null}', "X", TODAY
    )
    assert (without_votes.value, without_votes.score) == (None, None)
    with pytest.raises(BadMessage, match="votes of 250 % for BTC"):
        coingecko_votes.decode_votes(b'{"id":"bitcoin","sentiment_votes_up_percentage":250}', "BTC", TODAY)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "alternative": lambda body: alternative.decode_index(body, TODAY),
    "gdelt": lambda body: gdelt.decode_tones(body, "BTC", TODAY),
    "x": lambda body: x.decode_counts(body, "BTC", TODAY),
    "votes": lambda body: coingecko_votes.decode_votes(body, "BTC", TODAY),
    "news": lambda body: decode_feed("wire", body, NOW_US),
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
def test_any_json_decodes_or_is_a_bad_message(answered: dict[str, Any]) -> None:
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
def test_any_markup_decodes_or_is_a_bad_message(pieces: list[str]) -> None:
    for name in ("news", "telegram"):
        with suppress(BadMessage):
            DECODERS[name]("".join(pieces).encode())


async def test_markup_is_refused_where_json_is_expected() -> None:
    async with scripted(answer("<html>")) as server:
        async with alternative.alternative_http(server.root, LocalBudget(), patience=QUICK) as client:
            with pytest.raises(BadMessage, match="HTML"):
                await client.get(alternative.index_request(1))
        async with HttpSource(
            "page", server.root, LocalBudget(), alternative.LIMIT, takes_markup=True
        ) as client:
            assert (await client.get(alternative.index_request(1))).body == b"<html>"


def test_sources_have_the_names_of_their_settings() -> None:
    assert {reddit.NAME, x.NAME, telegram.NAME, gdelt.NAME} <= set(SentimentSource)


@pytest.mark.live
async def test_the_real_apis_are_as_documented() -> None:
    today = utc_day(now_us())
    budget = LocalBudget()
    async with alternative.alternative_http("https://api.alternative.me", budget) as client:
        index = alternative.decode_index((await client.get(alternative.index_request(10))).body, today)
    assert (len(index.scores), index.dropped) == (10, 0)
    async with gdelt.gdelt_http("https://api.gdeltproject.org", budget) as client:
        tones = gdelt.decode_tones((await client.get(gdelt.tone_request(["Bitcoin"]))).body, "BTC", today)
    assert len(tones.scores) > 60
    assert tones.dropped == 0
