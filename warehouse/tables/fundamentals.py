"""Assets, their descriptions and hourly metrics."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from warehouse.tables.base import NOW, TIMESTAMP, metadata

assets = Table(
    "assets",
    metadata,
    Column("id", Text, primary_key=True, comment="CoinGecko id: bitcoin"),
    Column("symbol", Text, nullable=False, comment="ticker: BTC; not unique"),
    Column("name", Text, nullable=False),
    Column("platforms", JSONB, nullable=False, server_default="{}", comment="contract address by platform"),
    Column("categories", ARRAY(Text), nullable=False, server_default="{}"),
    Column("description", Text),
    Column("links", JSONB, nullable=False, server_default="{}", comment="lists of URLs by kind"),
    Column("images", JSONB, nullable=False, server_default="{}", comment="URL by host service"),
    Column("launched_on", Date),
    Column("cmc_id", Integer, comment="CoinMarketCap id; null: not listed there"),
    Column("described_at", TIMESTAMP, comment="last update of description, links and categories"),
    Column("gone_at", TIMESTAMP, comment="when it left the list of CoinGecko"),
    Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
    comment="every coin on CoinGecko; those of our markets and the largest have descriptions",
)
Index(None, assets.c.symbol)

asset_bases = Table(
    "asset_bases",
    metadata,
    Column("base", Text, primary_key=True, comment="base of our markets: BTC"),
    Column("asset_id", Text, ForeignKey("assets.id"), comment="null: undecided"),
    Column("decided_by", Text, comment="override, contract or price; null: undecided"),
    Column("reason", Text, nullable=False, comment="evidence of the decision, or why there is none"),
    Column("decided_at", TIMESTAMP, nullable=False, server_default=NOW, comment="last check"),
    CheckConstraint("decided_by in ('override', 'contract', 'price')", name="decided_by"),
    CheckConstraint("(asset_id is null) = (decided_by is null)", name="decided"),
    comment="the asset that markets with a base trade",
)

asset_metrics = Table(
    "asset_metrics",
    metadata,
    Column("ts", TIMESTAMP, nullable=False, comment="hour of the request"),
    Column("observed_at", TIMESTAMP, comment="time of the data, as reported by the source"),
    Column("ath_at", TIMESTAMP),
    Column("atl_at", TIMESTAMP),
    Column("price_usd", Double),
    Column("market_cap_usd", Double),
    Column("fdv_usd", Double, comment="fully diluted valuation"),
    Column("volume_24h_usd", Double),
    Column("circulating_supply", Double, comment="supplies are in units of the asset"),
    Column("total_supply", Double),
    Column("max_supply", Double, comment="null: unlimited or unknown"),
    Column("ath_usd", Double, comment="all-time high"),
    Column("atl_usd", Double, comment="all-time low"),
    Column("change_1h", Double, comment="0.01 is 1 %"),
    Column("change_24h", Double),
    Column("change_7d", Double),
    Column("change_30d", Double),
    Column("tvl_usd", Double, comment="value locked; DefiLlama only"),
    Column("rank", Integer, comment="by market cap"),
    Column("asset_id", Text, ForeignKey("assets.id"), nullable=False),
    Column("source", Text, nullable=False, comment="coingecko, coinmarketcap or defillama"),
    PrimaryKeyConstraint("asset_id", "ts", "source"),
    CheckConstraint("source in ('coingecko', 'coinmarketcap', 'defillama')", name="source"),
    comment="hourly metrics of assets by source; null: not reported, or implausible",
)
Index(None, asset_metrics.c.ts)
