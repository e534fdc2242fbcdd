"""Daily sentiment by source, and the articles and posts behind it."""

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
    Column("told_at", TIMESTAMP, nullable=False, server_default=NOW, comment="last request to the source"),
    Column("value", Double, comment="value on the scale of the source; null: the source returned none"),
    Column("score", Double, comment="from -1 to 1; null: the source only counts posts"),
    Column("day", Date, nullable=False, comment="UTC"),
    Column("items", Integer, comment="number of texts, where known"),
    Column("base", Text, comment="base of our markets: BTC; null: the whole market"),
    Column(
        "source",
        Text,
        nullable=False,
        comment="fear_greed, gdelt, news, …; combined: computed from the others",
    ),
    Column("scale", Text, nullable=False, comment="0..100, -100..100, -1..1 or posts"),
    Column(
        "detail",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="details; of combined: parts and weights",
    ),
    UniqueConstraint("day", "source", "base", postgresql_nulls_not_distinct=True),
    CheckConstraint("score between -1 and 1", name="score"),
    comment="daily sentiment of assets and of the whole market, by source",
)

news = Table(
    "news",
    metadata,
    Column("published_at", TIMESTAMP, nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("score", Double, nullable=False, comment="from -1 to 1"),
    Column("url", Text, primary_key=True, comment="address of the text"),
    Column("source", Text, nullable=False, comment="news, reddit or telegram"),
    Column("outlet", Text, nullable=False, comment="the feed, subreddit or channel"),
    Column("title", Text, nullable=False, comment="title, or the beginning of a message without a title"),
    Column("title_key", Text, comment="key shared by copies; null: title too short"),
    Column("model", Text, nullable=False, comment="scoring model with its version"),
    Column("bases", ARRAY(Text), nullable=False, comment="bases of the assets it names"),
    Column("copies", JSONB, nullable=False, server_default="{}", comment="URLs of copies by outlet"),
    CheckConstraint("score between -1 and 1", name="score"),
    comment="articles and posts, each once, with scores",
)
Index(None, news.c.published_at)
Index(None, news.c.title_key)

news_feeds = Table(
    "news_feeds",
    metadata,
    Column("asked_at", TIMESTAMP, nullable=False, server_default=NOW, comment="last response"),
    Column(
        "changed_at", TIMESTAMP, nullable=False, server_default=NOW, comment="last response with new texts"
    ),
    Column("outlet", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("etag", Text, comment="ETag of the last response, for conditional requests"),
    Column("last_modified", Text, comment="Last-Modified of the last response, where there is no ETag"),
    comment="state of each news feed between requests",
)
