"""What the Sentiment page reads. Each takes a SQLAlchemy connection and plain values."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from coinwatch.sentiment.scoring import SentimentSource

MOST_NEWS = 100


class DayOfSource(msgspec.Struct, frozen=True, kw_only=True):
    """The sentiment of an asset, or of the whole market, from one source on a UTC day."""

    day: date
    base: str | None
    """None: the whole market."""
    source: str
    score: float | None
    """From -1 to 1; None: the source only counts posts."""
    value: float
    """On the source's own scale."""
    scale: str
    items: int | None
    detail: dict[str, Any]
    told_at: datetime


class SourceAsked(msgspec.Struct, frozen=True, kw_only=True):
    """When a source was last asked, and the last day it reported."""

    source: str
    asked_at: datetime
    reported_day: date | None
    """UTC; None: nothing recently."""
    bases: int
    """Assets it reported recently; 0: the whole market only."""


class OutletRead(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a news feed."""

    outlet: str
    asked_at: datetime
    changed_at: datetime
    articles: int
    """Of the last day."""


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """A text and its score."""

    published_at: datetime
    source: str
    outlet: str
    title: str
    url: str
    score: float
    bases: list[str]
    copies: dict[str, str]


_SCORES = text("""
select day, base, source, score, value, scale, items, detail, told_at from sentiment
where value is not null and day >= :first
    and base is not distinct from cast(:base as text)
order by day, source""")

_LATEST = text("""
select day, base, source, score, value, scale, items, detail, told_at
from (
    select *, row_number() over (partition by base, source order by day desc) as place
    from sentiment where value is not null and day >= :first and source = any(:sources)
) ranked
where place = 1 or (place = 2 and base is null)
order by base, source, day desc""")

_ASKED = text("""
select source, max(told_at) as asked_at, max(day) filter (where value is not null) as reported_day,
    count(distinct base) filter (where value is not null)::int as bases
from sentiment where day >= :first group by source""")

_OUTLETS = text("""
select feed.outlet, asked_at, changed_at, coalesce(articles, 0) as articles
from news_feeds feed
left join (
    select outlet, count(*)::int as articles from news where published_at > :since group by outlet
) lately using (outlet)
order by feed.outlet""")

_NEWS = text("""
select published_at, source, outlet, title, url, score, bases, copies from news
where published_at <= :until and (cast(:base as text) is null or :base = any(bases))
order by published_at desc limit :most""")


def day_scores(conn: Connection, base: str | None, first: date) -> tuple[DayOfSource, ...]:
    """The sentiment of ``base``, or of the whole market, from every source since ``first``, by day."""
    rows = conn.execute(_SCORES, {"base": base, "first": first})
    return tuple(DayOfSource(**row._mapping) for row in rows)


def latest_scores(conn: Connection, first: date) -> tuple[DayOfSource, ...]:
    """The newest combined score of each asset since ``first``, and the last two days of Fear & Greed."""
    sources = [SentimentSource.COMBINED.value, SentimentSource.FEAR_GREED.value]
    rows = conn.execute(_LATEST, {"first": first, "sources": sources})
    return tuple(DayOfSource(**row._mapping) for row in rows)


def sources_asked(conn: Connection, first: date) -> tuple[SourceAsked, ...]:
    """The state of each source that was asked about days since ``first``."""
    return tuple(SourceAsked(**row._mapping) for row in conn.execute(_ASKED, {"first": first}))


def outlets_read(conn: Connection, since: datetime) -> tuple[OutletRead, ...]:
    """Every news feed that was ever read, with its articles since then."""
    return tuple(OutletRead(**row._mapping) for row in conn.execute(_OUTLETS, {"since": since}))


def news(conn: Connection, base: str | None, until: datetime) -> tuple[Article, ...]:
    """The newest texts, at most ``MOST_NEWS``; of ``base`` only when it is given."""
    rows = conn.execute(_NEWS, {"base": base, "until": until, "most": MOST_NEWS})
    return tuple(Article(**row._mapping) for row in rows)
