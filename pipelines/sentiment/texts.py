"""Collection of news, posts and messages as plain async functions, independent of Dagster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import CoinwatchError
from coinwatch.sentiment.articles import Text, title_key, without_copies
from coinwatch.sentiment.mentions import Mentions
from coinwatch.sentiment.scoring import MODEL, SentimentSource, score_text
from coinwatch.times import DAY_US
from pipelines.sentiment.clients import Feed, TextClients
from sources.http import Answer
from sources.providers import news, reddit, telegram
from sources.providers.feed_parser import parse_feed
from warehouse.sentiment.store import (
    FeedState,
    Scored,
    Stored,
    feed_states,
    rescore_texts,
    store_feed_state,
    store_texts,
    texts_since,
)

Conn = AsyncConnection[Any]
Log = Callable[[str], None]


RESCORED_US = 7 * DAY_US
"""Texts up to this age are scored again, for asset names stored since and changes of the model."""


class FeedResult(msgspec.Struct):
    """The result of reading one feed, subreddit or channel."""

    source: SentimentSource
    name: str
    read: int = 0
    stored: Stored = Stored(0, 0, 0)
    unreadable: int = 0
    is_unchanged: bool = False
    """Whether the server answered that nothing changed since the last request."""
    is_whole: bool = True
    """False when the feed is truncated or broken, and was read as far as possible."""
    changed_at: datetime | None = None
    """When it last had new texts before this run; None if never."""
    error: CoinwatchError | None = None


async def collect_texts(
    conn: Conn, clients: TextClients, mentions: Mentions, now_us: int, log: Log = lambda line: None
) -> list[FeedResult]:
    """Read all feeds, subreddits and channels, and score and store new texts, each once.

    Returns a result per feed; one that fails does not affect the others. Raises WarehouseError.
    """
    states = await feed_states(conn)
    names = list(clients.feeds)
    answers = await asyncio.gather(*(_fetch(clients.feeds[name], states.get(name)) for name in names))
    results = []
    for name, answer in zip(names, answers, strict=True):
        result = FeedResult(SentimentSource.NEWS, name)
        if name in states:
            result.changed_at = states[name].changed_at
        results.append(result)
        if isinstance(answer, CoinwatchError):
            result.error = answer
        else:
            await _store_feed(conn, result, clients.feeds[name], states.get(name), answer, mentions, now_us)
    if clients.reddit is not None:
        for subreddit in reddit.SUBREDDITS:
            result = FeedResult(SentimentSource.REDDIT, f"r/{subreddit}")
            results.append(result)
            try:
                posts = await clients.reddit.newest_posts(subreddit, now_us)
            except CoinwatchError as error:
                result.error = error
            else:
                await _store(conn, result, posts, mentions, now_us)
    if clients.telegram is not None:
        for channel in clients.channels:
            result = FeedResult(SentimentSource.TELEGRAM, channel)
            results.append(result)
            try:
                answer = await clients.telegram.get(telegram.channel_request(channel))
                page = telegram.decode_channel(channel, answer.body, now_us)
            except CoinwatchError as error:
                result.error = error
            else:
                result.unreadable = page.unreadable
                await _store(conn, result, page.texts, mentions, now_us)
    for result in results:
        log(f"{result.name}: {result.error or f'{result.read} read, {result.stored.new} new'}")
    return results


async def rescore(conn: Conn, mentions: Mentions, now_us: int) -> int:
    """Score the texts of the last days again; returns the number of changed texts."""
    texts = await texts_since(conn, now_us - RESCORED_US)
    scored = [(url, score_text(title), mentions.of(title)) for url, title in texts]
    return await rescore_texts(conn, scored, MODEL)


async def _fetch(feed: Feed, state: FeedState | None) -> Answer | CoinwatchError:
    """Request the feed, conditional on a change since the last request."""
    known = state if state and state.url == feed.url else None
    request = news.feed_request(
        feed.url, known.etag if known else None, known.last_modified if known else None
    )
    try:
        return await feed.client.get(request)
    except CoinwatchError as error:
        return error


async def _store_feed(
    conn: Conn,
    result: FeedResult,
    feed: Feed,
    state: FeedState | None,
    answer: Answer,
    mentions: Mentions,
    now_us: int,
) -> None:
    etag, last_modified = answer.etag, answer.last_modified
    if answer.is_unchanged:
        result.is_unchanged = True
        if state:
            etag, last_modified = state.etag, state.last_modified
    else:
        try:
            read = await parse_feed(result.name, answer.body, now_us)
        except CoinwatchError as error:
            result.error = error
            return
        result.unreadable, result.is_whole = read.unreadable, read.is_whole
        await _store(conn, result, read.articles, mentions, now_us)
        if not read.is_whole:  # request it again in full, changed or not
            etag = last_modified = None
    has_news = bool(result.stored.new)
    # Only after the articles are stored: an ETag stored before them would lose them on a failure.
    await store_feed_state(conn, result.name, feed.url, etag, last_modified, now_us, has_news=has_news)


async def _store(
    conn: Conn, result: FeedResult, texts: Sequence[Text], mentions: Mentions, now_us: int
) -> None:
    result.read = len(texts)
    texts = without_copies(texts, result.name)
    scored = [
        Scored(text, title_key(text.title, result.name), score_text(text.title), mentions.of(text.title))
        for text in texts
    ]
    result.stored = await store_texts(conn, result.source, result.name, scored, MODEL, now_us)
