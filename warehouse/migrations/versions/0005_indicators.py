"""Technical indicators

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "indicators",
        sa.Column("open_ts", _TIMESTAMP, nullable=False, comment="of the candle they end with"),
        sa.Column("sma_20", sa.Double(), nullable=True, comment="also the middle of Bollinger's bands"),
        sa.Column("sma_50", sa.Double(), nullable=True),
        sa.Column("sma_200", sa.Double(), nullable=True),
        sa.Column("ema_12", sa.Double(), nullable=True),
        sa.Column("ema_26", sa.Double(), nullable=True),
        sa.Column("ema_50", sa.Double(), nullable=True),
        sa.Column("ema_200", sa.Double(), nullable=True),
        sa.Column("rsi_14", sa.Double(), nullable=True),
        sa.Column("macd", sa.Double(), nullable=True, comment="of 12 and 26 candles"),
        sa.Column("macd_signal", sa.Double(), nullable=True, comment="of 9 candles"),
        sa.Column("macd_histogram", sa.Double(), nullable=True),
        sa.Column("bollinger_upper", sa.Double(), nullable=True, comment="of 20 candles and 2 deviations"),
        sa.Column("bollinger_lower", sa.Double(), nullable=True),
        sa.Column(
            "obv", sa.Double(), nullable=True, comment="since the first candle stored, in the base asset"
        ),
        sa.Column("atr_14", sa.Double(), nullable=True),
        sa.Column("vwap", sa.Double(), nullable=True, comment="of the UTC day so far, of typical prices"),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("indicators_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "interval", "open_ts", name=op.f("indicators_pkey")),
        comment="null where there are not enough candles yet",
        postgresql_partition_by="RANGE (open_ts)",
    )
    op.create_table(
        "indicators_due",
        sa.Column("since", _TIMESTAMP, nullable=False, comment="the first candle that changed"),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("indicators_due_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "interval", name=op.f("indicators_due_pkey")),
        comment="which indicators have to be computed again, and from when on",
    )
