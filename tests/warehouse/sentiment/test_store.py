"""Texts stored once with their copies noted; scores of days in place of earlier ones."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from coinwatch.sentiment.articles import Text, title_key
from coinwatch.sentiment.scoring import MODEL, TEXT_SOURCES, DayScore, Scale, SentimentSource
from coinwatch.times import DAY_US, MINUTE_US, day_start_us
from tests.stored import rows
from warehouse.sentiment.store import (
    Scored,
    Stored,
    asked_since,
    feed_states,
    newest_texts,
    replace_scores,
    scores_between,
    store_feed_state,
    store_scores,
    store_texts,
    text_scores,
)

Conn = psycopg.AsyncConnection[Any]
DAY = date(2026, 11, 20)
NOON_US = day_start_us(DAY) + DAY_US // 2
NOW_US = NOON_US + DAY_US


def text(path: str, title: str, score: float = 0.5, *bases: str, at_us: int = NOON_US) -> Scored:
    return Scored(Text(f"https://{path}", title, at_us), title_key(title), score, bases)


async def store(
    conn: Conn, outlet: str, *texts: Scored, source: SentimentSource = SentimentSource.NEWS
) -> Stored:
    return await store_texts(conn, source, outlet, texts, MODEL, NOW_US)


async def test_an_article_is_stored_once_and_its_copies_are_noted(conn: Conn) -> None:
    title = "Bitcoin price rises once more"
    assert await store(conn, "a", text("a/1", title, 0.4, "BTC")) == Stored(1, 0, 0)
    assert await store(conn, "a", text("a/1", title, 0.4, "BTC")) == Stored(0, 0, 0)
    for _ in range(2):
        copies = text("b/1", title.upper()), text("b/2", "Something else altogether today")
        stored = await store(conn, "b", *copies)
    assert stored == Stored(0, 0, 1)
    assert await rows(conn, "select url, outlet, score, bases, copies, model from v_news order by url") == [
        ("https://a/1", "a", 0.4, ["BTC"], {"b": "https://b/1"}, MODEL),
        ("https://b/2", "b", 0.5, [], {}, MODEL),
    ]
    assert [row.url for row in await newest_texts(conn, 1)] == ["https://a/1"]


async def test_the_same_title_days_later_or_elsewhere_is_no_copy(conn: Conn) -> None:
    title = "What to watch in crypto this week"
    await store(conn, "a", text("a/1", title))
    assert (await store(conn, "a", text("a/2", title, at_us=NOON_US + 4 * DAY_US))).new == 1
    assert (await store(conn, "r/x", text("r/1", title), source=SentimentSource.REDDIT)).new == 1
    short = await store(conn, "a", text("a/3", "Market wrap"))
    assert short.new == (await store(conn, "b", text("b/3", "Market wrap"))).new == 1


async def test_a_corrected_article_gets_a_new_score(conn: Conn) -> None:
    await store(conn, "a", text("a/1", "Bitcoin price rises once more", 0.4, "BTC"))
    assert await store(conn, "a", text("a/1", "Ether price falls once more", -0.4, "ETH")) == Stored(0, 1, 0)
    assert await rows(conn, "select title, score, bases from news") == [
        ("Ether price falls once more", -0.4, ["ETH"])
    ]


async def test_scores_of_texts_by_day_and_asset(conn: Conn) -> None:
    await store(
        conn,
        "a",
        text("a/1", "One title of four words", 0.5, "BTC"),
        text("a/2", "Two titles of four words", -0.1, "BTC", "ETH"),
        text("a/3", "Three titles of four words", 0.0),
        text("a/4", "Of the day after that", 1.0, "BTC", at_us=day_start_us(DAY) + DAY_US),
        text("a/5", "Of the day before that", 1.0, "BTC", at_us=day_start_us(DAY) - 1),
    )
    assert [
        (row.source, row.base, row.score, row.items, row.detail) for row in await text_scores(conn, DAY, DAY)
    ] == [
        (SentimentSource.NEWS, "BTC", 0.2, 2, {"positive": 1, "negative": 1}),
        (SentimentSource.NEWS, "ETH", -0.1, 1, {"positive": 0, "negative": 1}),
        (SentimentSource.NEWS, None, pytest.approx(0.133333), 3, {"positive": 1, "negative": 1}),
    ]
    assert len(await text_scores(conn, DAY - timedelta(days=1), DAY + timedelta(days=1))) == 7


def score_of(
    value: float | None, base: str | None = "BTC", source: SentimentSource = SentimentSource.GDELT
) -> DayScore:
    return DayScore(day=DAY, source=source, base=base, value=value, scale=Scale.TONE, score=value)


async def test_scores_are_stored_in_place_of_earlier_ones(conn: Conn) -> None:
    assert await store_scores(conn, [score_of(0.1), score_of(0.2, None)], NOW_US) == 2
    assert await store_scores(conn, [score_of(0.1), score_of(0.2, None)], NOW_US + 1) == 0
    assert await store_scores(conn, [score_of(0.1), score_of(0.3, None)], NOW_US + 1) == 1
    assert [(row.base, row.value) for row in await scores_between(conn, DAY, DAY)] == [
        ("BTC", 0.1),
        (None, 0.3),
    ]
    assert await scores_between(conn, DAY + timedelta(days=1), DAY + timedelta(days=9)) == []


async def test_replacing_scores_deletes_the_old_ones(conn: Conn) -> None:
    await store_scores(
        conn,
        [
            score_of(0.1),
            score_of(0.2, "ETH", SentimentSource.NEWS),
            score_of(0.3, None, SentimentSource.NEWS),
        ],
        NOW_US,
    )
    await replace_scores(conn, TEXT_SOURCES, DAY, DAY, [score_of(0.4, None, SentimentSource.NEWS)], NOW_US)
    assert [(row.source, row.base, row.value) for row in await scores_between(conn, DAY, DAY)] == [
        (SentimentSource.GDELT, "BTC", 0.1),
        (SentimentSource.NEWS, None, 0.4),
    ]
    await replace_scores(conn, TEXT_SOURCES, DAY, DAY, [], NOW_US)
    assert len(await scores_between(conn, DAY, DAY)) == 1


async def test_sources_without_a_value_count_as_asked(conn: Conn) -> None:
    await store_scores(conn, [score_of(None, "XRP"), score_of(0.2, None)], NOON_US)
    assert await asked_since(conn, SentimentSource.GDELT, NOON_US - 1, NOON_US) == {"XRP", None}
    assert await asked_since(conn, SentimentSource.GDELT, NOON_US + 1, NOON_US) == set()
    assert await asked_since(conn, SentimentSource.GDELT, NOON_US - 1, NOON_US + DAY_US) == set()
    assert await rows(conn, "select base from v_sentiment") == [(None,)]


async def test_assets_are_named_in_the_view(conn: Conn) -> None:
    await conn.execute("insert into assets (id, symbol, name) values ('bitcoin', 'BTC', 'Bitcoin')")
    await conn.execute(
        "insert into asset_bases (base, asset_id, decided_by, reason) values ('BTC', 'bitcoin', 'price', '')"
    )
    await store_scores(conn, [score_of(0.1), score_of(0.2, None)], NOW_US)
    assert await rows(conn, "select base, asset, score from v_sentiment order by base") == [
        ("BTC", "bitcoin", 0.1),
        (None, None, 0.2),
    ]


async def test_feeds_are_remembered(conn: Conn) -> None:
    await store_feed_state(conn, "a", "https://a/feed", '"1"', None, NOW_US, has_news=True)
    first = (await feed_states(conn))["a"]
    await store_feed_state(conn, "a", "https://a/feed", '"2"', "x", NOW_US + MINUTE_US, has_news=False)
    assert await feed_states(conn) == {"a": first._replace(etag='"2"', last_modified="x")}
    await store_feed_state(conn, "a", "https://a/feed", '"3"', None, NOW_US + MINUTE_US, has_news=True)
    assert (await feed_states(conn))["a"].changed_at == first.changed_at + timedelta(minutes=1)
