"""Collection of news, posts and messages as plain async functions. Knows nothing of Dagster."""

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
from coinwatch.sentiment.scoring import MODEL, Source, score_text
from coinwatch.times import DAY_US
from pipelines.sentiment.clients import Feed, TextClients
from sources.http import Answer
from sources.providers import news, reddit, telegram
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
"""Texts no older than this follow the names of assets, which are learnt later, and changes of the model."""


class Outlet(msgspec.Struct):
    """What became of one feed, subreddit or channel."""

    source: Source
    name: str
    read: int = 0
    stored: Stored = Stored(0, 0, 0)
    unreadable: int = 0
    is_unchanged: bool = False
    """It has nothing new since it was last asked."""
    is_whole: bool = True
    """Else it was cut short or broken, and read as far as that went."""
    changed_at: datetime | None = None
    """When it last had something new; None: never before."""
    error: CoinwatchError | None = None


async def collect_texts(
    conn: Conn, clients: TextClients, mentions: Mentions, now_us: int, log: Log = lambda line: None
) -> list[Outlet]:
    """Read all outlets, score what is new and store it, each text once.

    An outlet that fails is named in the answer and the others go on; what Postgres refuses is raised.
    """
    states = await feed_states(conn)
    names = list(clients.feeds)
    answers = await asyncio.gather(*(_ask(clients.feeds[name], states.get(name)) for name in names))
    outlets = []
    for name, answer in zip(names, answers, strict=True):
        outlet = Outlet(Source.NEWS, name)
        if name in states:
            outlet.changed_at = states[name].changed_at
        outlets.append(outlet)
        if isinstance(answer, CoinwatchError):
            outlet.error = answer
        else:
            await _store_feed(conn, outlet, clients.feeds[name], states.get(name), answer, mentions, now_us)
    if clients.reddit is not None:
        for subreddit in reddit.SUBREDDITS:
            outlet = Outlet(Source.REDDIT, f"r/{subreddit}")
            outlets.append(outlet)
            try:
                posts = await reddit.newest_posts(clients.reddit, subreddit, now_us)
            except CoinwatchError as error:
                outlet.error = error
            else:
                await _store(conn, outlet, posts, mentions, now_us)
    if clients.telegram is not None:
        for channel in clients.channels:
            outlet = Outlet(Source.TELEGRAM, channel)
            outlets.append(outlet)
            try:
                answer = await clients.telegram.get(telegram.channel_request(channel))
                page = telegram.decode_channel(channel, answer.body, now_us)
            except CoinwatchError as error:
                outlet.error = error
            else:
                outlet.unreadable = page.unreadable
                await _store(conn, outlet, page.texts, mentions, now_us)
    for outlet in outlets:
        log(f"{outlet.name}: {outlet.error or f'{outlet.read} read, {outlet.stored.new} new'}")
    return outlets


async def rescore(conn: Conn, mentions: Mentions, now_us: int) -> int:
    """Score the texts of the last days anew; returns how many changed."""
    texts = await texts_since(conn, now_us - RESCORED_US)
    scored = [(url, score_text(title), mentions.of(title)) for url, title in texts]
    return await rescore_texts(conn, scored, MODEL)


async def _ask(feed: Feed, state: FeedState | None) -> Answer | CoinwatchError:
    """The feed, if it has anything that was not there when we asked last."""
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
    outlet: Outlet,
    feed: Feed,
    state: FeedState | None,
    answer: Answer,
    mentions: Mentions,
    now_us: int,
) -> None:
    etag, last_modified = answer.etag, answer.last_modified
    if answer.is_unchanged:
        outlet.is_unchanged = True
        if state:
            etag, last_modified = state.etag, state.last_modified
    else:
        try:
            read = await asyncio.to_thread(news.decode_feed, outlet.name, answer.body, now_us)
        except CoinwatchError as error:
            outlet.error = error
            return
        outlet.unreadable, outlet.is_whole = read.unreadable, read.is_whole
        await _store(conn, outlet, read.articles, mentions, now_us)
        if not read.is_whole:  # all of it is wanted again, changed or not
            etag = last_modified = None
    has_news = bool(outlet.stored.new)
    # Only after its articles are stored: what the marks stand for must never be lost.
    await store_feed_state(conn, outlet.name, feed.url, etag, last_modified, now_us, has_news=has_news)


async def _store(conn: Conn, outlet: Outlet, texts: Sequence[Text], mentions: Mentions, now_us: int) -> None:
    outlet.read = len(texts)
    texts = without_copies(texts, outlet.name)
    scored = [
        Scored(text, title_key(text.title, outlet.name), score_text(text.title), mentions.of(text.title))
        for text in texts
    ]
    outlet.stored = await store_texts(conn, outlet.source, outlet.name, scored, MODEL, now_us)
