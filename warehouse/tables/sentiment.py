"""What people seem to think of assets, day by day; and the texts that tells of."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Date,
    Double,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from warehouse.tables.base import NOW, TIMESTAMP, metadata

sentiment = Table(
    "sentiment",
    metadata,
    Column(
        "told_at", TIMESTAMP, nullable=False, server_default=NOW, comment="when its source was last asked"
    ),
    Column("value", Double, comment="as the source tells it, on its scale; null: nothing, when asked"),
    Column("score", Double, comment="from -1 to 1; null: the source only counts"),
    Column("day", Date, nullable=False, comment="UTC"),
    Column("items", Integer, comment="how many texts it is made of, where that is known"),
    Column("base", Text, comment="of markets, BTC; null: the whole market"),
    Column(
        "source", Text, nullable=False, comment="fear_greed, gdelt, news, …; combined: made of the others"
    ),
    Column("scale", Text, nullable=False, comment="0..100, -100..100, -1..1 or posts"),
    Column("detail", JSONB, nullable=False, server_default="{}", comment="of combined: parts and weights"),
    UniqueConstraint("day", "source", "base", postgresql_nulls_not_distinct=True),
    CheckConstraint("score between -1 and 1", name="score"),
    comment="what each source says of an asset, or of the whole market, on a day",
)

news = Table(
    "news",
    metadata,
    Column("published_at", TIMESTAMP, nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("score", Double, nullable=False, comment="from -1 to 1"),
    Column("url", Text, primary_key=True, comment="where it can be read"),
    Column("source", Text, nullable=False, comment="news, reddit or telegram"),
    Column("outlet", Text, nullable=False, comment="the feed, subreddit or channel"),
    Column("title", Text, nullable=False, comment="of a message without one, its beginning"),
    Column("title_key", Text, comment="what copies have in common; null: too short to tell"),
    Column("model", Text, nullable=False, comment="what scored it, with its version"),
    Column("bases", ARRAY(Text), nullable=False, comment="the assets it names, by base of markets"),
    Column("copies", JSONB, nullable=False, server_default="{}", comment="URLs of copies by outlet"),
    CheckConstraint("score between -1 and 1", name="score"),
    comment="articles and posts, each once, and how they were scored",
)
Index(None, news.c.published_at)
Index(None, news.c.title_key)

news_feeds = Table(
    "news_feeds",
    metadata,
    Column("asked_at", TIMESTAMP, nullable=False, server_default=NOW, comment="the last answer"),
    Column("changed_at", TIMESTAMP, nullable=False, server_default=NOW, comment="the last with anything new"),
    Column("outlet", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("etag", Text, comment="as it was sent, to ask only for changes"),
    Column("last_modified", Text, comment="the same of outlets without an ETag"),
    comment="what is remembered of each news feed between two requests",
)
