"""Sentiment by day, the texts it is made of, and what is remembered of feeds

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "sentiment",
        sa.Column(
            "told_at",
            _TIMESTAMP,
            nullable=False,
            server_default=_NOW,
            comment="when its source was last asked",
        ),
        sa.Column(
            "value",
            sa.Double(),
            nullable=True,
            comment="as the source tells it, on its scale; null: nothing, when asked",
        ),
        sa.Column("score", sa.Double(), nullable=True, comment="from -1 to 1; null: the source only counts"),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC"),
        sa.Column(
            "items", sa.Integer(), nullable=True, comment="how many texts it is made of, where that is known"
        ),
        sa.Column("base", sa.Text(), nullable=True, comment="of markets, BTC; null: the whole market"),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="fear_greed, gdelt, news, …; combined: made of the others",
        ),
        sa.Column("scale", sa.Text(), nullable=False, comment="0..100, -100..100, -1..1 or posts"),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="of combined: parts and weights",
        ),
        sa.UniqueConstraint(
            "day",
            "source",
            "base",
            name=op.f("sentiment_day_source_base_key"),
            postgresql_nulls_not_distinct=True,
        ),
        sa.CheckConstraint("score between -1 and 1", name=op.f("sentiment_score_check")),
        comment="what each source says of an asset, or of the whole market, on a day",
    )

    op.create_table(
        "news",
        sa.Column("published_at", _TIMESTAMP, nullable=False),
        sa.Column("seen_at", _TIMESTAMP, nullable=False, server_default=_NOW),
        sa.Column("score", sa.Double(), nullable=False, comment="from -1 to 1"),
        sa.Column("url", sa.Text(), nullable=False, comment="where it can be read"),
        sa.Column("source", sa.Text(), nullable=False, comment="news, reddit or telegram"),
        sa.Column("outlet", sa.Text(), nullable=False, comment="the feed, subreddit or channel"),
        sa.Column("title", sa.Text(), nullable=False, comment="of a message without one, its beginning"),
        sa.Column(
            "title_key",
            sa.Text(),
            nullable=True,
            comment="what copies have in common; null: too short to tell",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="what scored it, with its version"),
        sa.Column(
            "bases", sa.ARRAY(sa.Text()), nullable=False, comment="the assets it names, by base of markets"
        ),
        sa.Column(
            "copies",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="URLs of copies by outlet",
        ),
        sa.CheckConstraint("score between -1 and 1", name=op.f("news_score_check")),
        sa.PrimaryKeyConstraint("url", name=op.f("news_pkey")),
        comment="articles and posts, each once, and how they were scored",
    )
    op.create_index(op.f("news_published_at_idx"), "news", ["published_at"])
    op.create_index(op.f("news_title_key_idx"), "news", ["title_key"])

    op.create_table(
        "news_feeds",
        sa.Column("asked_at", _TIMESTAMP, nullable=False, server_default=_NOW, comment="the last answer"),
        sa.Column(
            "changed_at",
            _TIMESTAMP,
            nullable=False,
            server_default=_NOW,
            comment="the last with anything new",
        ),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True, comment="as it was sent, to ask only for changes"),
        sa.Column("last_modified", sa.Text(), nullable=True, comment="the same of outlets without an ETag"),
        sa.PrimaryKeyConstraint("outlet", name=op.f("news_feeds_pkey")),
        comment="what is remembered of each news feed between two requests",
    )
