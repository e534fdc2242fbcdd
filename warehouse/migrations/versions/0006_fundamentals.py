"""Assets, their metrics, and limits of calls by the month

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "api_budgets",
        sa.Column(
            "calls_per_month",
            sa.Integer(),
            nullable=True,
            comment="the most that are let through; null: as many as one likes",
        ),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.Text(), nullable=False, comment="as CoinGecko calls it, bitcoin"),
        sa.Column(
            "symbol", sa.Text(), nullable=False, comment="the ticker, BTC; several assets may have the same"
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "platforms",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="contract address by platform",
        ),
        sa.Column("categories", sa.ARRAY(sa.Text()), nullable=False, server_default="{}"),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column(
            "links", postgresql.JSONB(), nullable=False, server_default="{}", comment="lists of URLs by kind"
        ),
        sa.Column(
            "images", postgresql.JSONB(), nullable=False, server_default="{}", comment="URL by who serves it"
        ),
        sa.Column("launched_on", sa.Date(), nullable=True),
        sa.Column(
            "cmc_id",
            sa.Integer(),
            nullable=True,
            comment="as CoinMarketCap numbers it; null: not known there",
        ),
        sa.Column(
            "described_at",
            _TIMESTAMP,
            nullable=True,
            comment="when description, links and categories were last told",
        ),
        sa.Column("gone_at", _TIMESTAMP, nullable=True, comment="since when CoinGecko lists it no more"),
        sa.Column("updated_at", _TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name=op.f("assets_pkey")),
        comment="every coin that CoinGecko lists; described are those that matter here",
    )
    op.create_index(op.f("assets_symbol_idx"), "assets", ["symbol"])

    op.create_table(
        "asset_bases",
        sa.Column("base", sa.Text(), nullable=False, comment="of markets, BTC"),
        sa.Column("asset_id", sa.Text(), nullable=True, comment="null: undecided"),
        sa.Column(
            "decided_by", sa.Text(), nullable=True, comment="override, contract or price; null: undecided"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="what decided, or why nothing could"),
        sa.Column(
            "decided_at",
            _TIMESTAMP,
            nullable=False,
            server_default=sa.text("now()"),
            comment="last looked at",
        ),
        sa.CheckConstraint(
            "decided_by in ('override', 'contract', 'price')", name=op.f("asset_bases_decided_by_check")
        ),
        sa.CheckConstraint(
            "(asset_id is null) = (decided_by is null)", name=op.f("asset_bases_decided_check")
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("asset_bases_asset_id_fkey")),
        sa.PrimaryKeyConstraint("base", name=op.f("asset_bases_pkey")),
        comment="which asset the markets of a base trade",
    )

    op.create_table(
        "asset_metrics",
        sa.Column("ts", _TIMESTAMP, nullable=False, comment="the hour it was asked in"),
        sa.Column("observed_at", _TIMESTAMP, nullable=True, comment="as old as its source says it is"),
        sa.Column("ath_at", _TIMESTAMP, nullable=True),
        sa.Column("atl_at", _TIMESTAMP, nullable=True),
        sa.Column("price_usd", sa.Double(), nullable=True),
        sa.Column("market_cap_usd", sa.Double(), nullable=True),
        sa.Column("fdv_usd", sa.Double(), nullable=True, comment="fully diluted valuation"),
        sa.Column("volume_24h_usd", sa.Double(), nullable=True),
        sa.Column(
            "circulating_supply", sa.Double(), nullable=True, comment="supplies are in the asset itself"
        ),
        sa.Column("total_supply", sa.Double(), nullable=True),
        sa.Column("max_supply", sa.Double(), nullable=True, comment="null: without a limit, or not known"),
        sa.Column("ath_usd", sa.Double(), nullable=True, comment="all-time high"),
        sa.Column("atl_usd", sa.Double(), nullable=True, comment="all-time low"),
        sa.Column("change_1h", sa.Double(), nullable=True, comment="0.01 is 1 %"),
        sa.Column("change_24h", sa.Double(), nullable=True),
        sa.Column("change_7d", sa.Double(), nullable=True),
        sa.Column("change_30d", sa.Double(), nullable=True),
        sa.Column("tvl_usd", sa.Double(), nullable=True, comment="value locked; DefiLlama only"),
        sa.Column("rank", sa.Integer(), nullable=True, comment="by market cap"),
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="coingecko, coinmarketcap or defillama"),
        sa.CheckConstraint(
            "source in ('coingecko', 'coinmarketcap', 'defillama')", name=op.f("asset_metrics_source_check")
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("asset_metrics_asset_id_fkey")),
        sa.PrimaryKeyConstraint("asset_id", "ts", "source", name=op.f("asset_metrics_pkey")),
        comment="what each source said of an asset, hour by hour; null: it did not say, or nothing sensible",
    )
    op.create_index(op.f("asset_metrics_ts_idx"), "asset_metrics", ["ts"])
