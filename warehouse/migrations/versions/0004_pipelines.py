"""Candles of all intervals, what is wanted of them, and how they compare with the exchange's own

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "markets",
        sa.Column(
            "quote_volume_24h",
            sa.Double(),
            nullable=True,
            comment="as its exchange's tickers said last, in the quote asset",
        ),
    )
    op.add_column(
        "candle_coverage",
        sa.Column(
            "wanted",
            postgresql.TSTZMULTIRANGE(),
            nullable=False,
            server_default="{}",
            comment="spans somebody asked for; endless while the market is active",
        ),
    )
    op.drop_constraint("candles_market_id_fkey", "candles")
    op.alter_column(
        "candles",
        "market_id",
        existing_type=sa.Integer(),
        existing_nullable=False,
        comment="of markets; no foreign key: it costs a third of the speed of storing",
    )
    op.create_table(
        "candle_rollups",
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False, comment="of the rollups, 5m and longer"),
        sa.Column(
            "due", postgresql.TSTZMULTIRANGE(), nullable=False, comment="spans whose 1m candles changed since"
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("candle_rollups_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "interval", name=op.f("candle_rollups_pkey")),
        comment="which candles of longer intervals have to be made again",
    )
    # What was stored before there were rollups.
    op.execute(
        """
        insert into candle_rollups (market_id, interval, due)
        select market_id, rollup, range_agg(tstzrange(day, day + interval '1 day'))
        from (
            select distinct market_id, date_bin('1 day', open_ts, 'epoch') as day
            from candles where interval = '1m'
        ) as days
        cross join unnest(array['5m', '15m', '1h', '4h', '1d']) as rollup
        group by market_id, rollup
        """
    )
    op.create_table(
        "candle_checks",
        sa.Column("checked_at", _TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "repaired",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="minutes that were corrected",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="same, repaired, differs, or incomplete"),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="ours, theirs and what remains",
        ),
        sa.CheckConstraint(
            "state in ('same', 'repaired', 'differs', 'incomplete')", name=op.f("candle_checks_state_check")
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("candle_checks_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "day", name=op.f("candle_checks_pkey")),
        comment="days of candles compared with the exchange's own candle of the day",
    )
