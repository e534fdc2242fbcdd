"""Technical indicators of stored candles."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, PrimaryKeyConstraint, Table, Text

from warehouse.tables.base import TIMESTAMP, metadata

# One partition a UTC month, created like those of candles.
indicators = Table(
    "indicators",
    metadata,
    Column("open_ts", TIMESTAMP, nullable=False, comment="open time of the candle they include last"),
    Column("sma_20", Double, comment="also the middle Bollinger band"),
    Column("sma_50", Double),
    Column("sma_200", Double),
    Column("ema_12", Double),
    Column("ema_26", Double),
    Column("ema_50", Double),
    Column("ema_200", Double),
    Column("rsi_14", Double),
    Column("macd", Double, comment="of 12 and 26 candles"),
    Column("macd_signal", Double, comment="of 9 candles"),
    Column("macd_histogram", Double),
    Column("bollinger_upper", Double, comment="of 20 candles and 2 deviations"),
    Column("bollinger_lower", Double),
    Column("obv", Double, comment="since the first candle stored, in the base asset"),
    Column("atr_14", Double),
    Column("vwap", Double, comment="of typical prices in the UTC day so far"),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("interval", Text, nullable=False),
    PrimaryKeyConstraint("market_id", "interval", "open_ts"),
    comment="null where there are not enough candles yet",
    postgresql_partition_by="RANGE (open_ts)",
)

indicators_due = Table(
    "indicators_due",
    metadata,
    Column("since", TIMESTAMP, nullable=False, comment="open time of the first changed candle"),
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("interval", Text, primary_key=True),
    comment="series whose indicators are due, and from when on",
)
