"""Averages over exchanges, and the markets left out of them

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "price_averages",
        sa.Column("ts", _TIMESTAMP, nullable=False, comment="a whole second, when it was computed"),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column(
            "confidence", sa.Double(), nullable=False, comment="distance to the further weighted quartile"
        ),
        sa.Column(
            "change_24h",
            sa.Double(),
            nullable=True,
            comment="0.01 is 1 %; null where less than a day is stored",
        ),
        sa.Column("high_24h", sa.Double(), nullable=True, comment="median over the exchanges used"),
        sa.Column("low_24h", sa.Double(), nullable=True, comment="median over the exchanges used"),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="degraded: of fewer than three exchanges"),
        sa.Column("exchanges", sa.ARRAY(sa.Text()), nullable=False, comment="those used"),
        sa.Column(
            "inputs",
            postgresql.JSONB(),
            nullable=False,
            comment="by exchange: price, ts, age_s, weight, used, why not",
        ),
        sa.CheckConstraint("method in ('median', 'mean', 'vwap')", name=op.f("price_averages_method_check")),
        sa.CheckConstraint("state in ('ok', 'degraded')", name=op.f("price_averages_state_check")),
        sa.PrimaryKeyConstraint("base", "quote", "ts", name=op.f("price_averages_pkey")),
        postgresql_partition_by="RANGE (ts)",
    )
    op.create_index(op.f("price_averages_ts_idx"), "price_averages", ["ts"])

    op.create_table(
        "quarantines",
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column(
            "since", _TIMESTAMP, nullable=False, comment="from when on it was over 20 % from the others"
        ),
        sa.Column("released_at", _TIMESTAMP, nullable=True, comment="null: it is left out of averages now"),
        sa.Column(
            "deviation",
            sa.Double(),
            nullable=False,
            comment="0.5 is 50 %; when it was quarantined or released",
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("quarantines_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "since", name=op.f("quarantines_pkey")),
        comment="markets taken for another coin of the same ticker, and left out of averages",
    )
