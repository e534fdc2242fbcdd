"""Markets, and what is streamed and collected of them."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZMULTIRANGE

from warehouse.tables.base import NOW, TIMESTAMP, metadata

markets = Table(
    "markets",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("symbol", Text, nullable=False, comment="canonical, BTC-USDT"),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("native", Text, nullable=False, comment="the exchange's own spelling"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("listed_at", TIMESTAMP),
    Column("delisted_at", TIMESTAMP),
    Column("price_step", Double),
    Column("amount_step", Double),
    Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("quote_volume_24h", Double, comment="as its exchange's tickers said last, in the quote asset"),
    UniqueConstraint("exchange", "symbol"),
    CheckConstraint("status in ('active', 'delisted')", name="status"),
    CheckConstraint("symbol = base || '-' || quote", name="symbol"),
)

# Widest first, so that a row carries no padding. Partitions are one UTC day each and made by
# warehouse.partitions; there is no DEFAULT partition.
ticks = Table(
    "ticks",
    metadata,
    Column("trade_id", BigInteger, nullable=False),
    Column("ts", TIMESTAMP, nullable=False),
    Column("price", Double, nullable=False),
    Column("amount", Double, nullable=False),
    Column(
        "tx",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
        comment="the transaction that stored the row",
    ),
    Column(
        "market_id",
        Integer,
        nullable=False,
        comment="of markets; no foreign key: it halves the speed of COPY",
    ),
    Column("day", Date, nullable=False, comment="UTC date of ts"),
    Column("taker_buys", Boolean, nullable=False),
    PrimaryKeyConstraint("market_id", "trade_id", "day"),
    postgresql_partition_by="RANGE (day)",
)
Index(None, ticks.c.market_id, ticks.c.ts)

# Partitions are one UTC month each, made like those of ticks.
candles = Table(
    "candles",
    metadata,
    Column("open_ts", TIMESTAMP, nullable=False),
    Column("open", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("volume", Double, nullable=False),
    Column("quote_volume", Double),
    Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column(
        "market_id",
        Integer,
        nullable=False,
        comment="of markets; no foreign key: it costs a third of the speed of storing",
    ),
    Column("trades", Integer),
    Column("revision", SmallInteger, nullable=False, server_default="0"),
    Column("interval", Text, nullable=False),
    Column("source", Text, nullable=False, server_default="exchange"),
    PrimaryKeyConstraint("market_id", "interval", "open_ts"),
    CheckConstraint("source in ('exchange', 'ticks', 'rollup')", name="source"),
    CheckConstraint("low <= least(open, close) and high >= greatest(open, close)", name="shape"),
    postgresql_partition_by="RANGE (open_ts)",
)

candle_coverage = Table(
    "candle_coverage",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("interval", Text, primary_key=True),
    Column(
        "covered",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="spans verified against the exchange, empty minutes included",
    ),
    Column(
        "unavailable",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="spans the exchange no longer serves",
    ),
    Column(
        "wanted",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="spans somebody asked for; endless while the market is active",
    ),
)

candle_rollups = Table(
    "candle_rollups",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("interval", Text, primary_key=True, comment="of the rollups, 5m and longer"),
    Column("due", TSTZMULTIRANGE, nullable=False, comment="spans whose 1m candles changed since"),
    comment="which candles of longer intervals have to be made again",
)

candle_checks = Table(
    "candle_checks",
    metadata,
    Column("checked_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("repaired", Integer, nullable=False, server_default="0", comment="minutes that were corrected"),
    Column("state", Text, nullable=False, comment="same, repaired, differs, or incomplete"),
    Column("detail", JSONB, nullable=False, server_default="{}", comment="ours, theirs and what remains"),
    PrimaryKeyConstraint("market_id", "day"),
    CheckConstraint("state in ('same', 'repaired', 'differs', 'incomplete')", name="state"),
    comment="days of candles compared with the exchange's own candle of the day",
)

stream_health = Table(
    "stream_health",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("last_price", Double),
    Column("last_trade_ts", TIMESTAMP, comment="the exchange's clock"),
    Column("last_received_at", TIMESTAMP, comment="our clock"),
    Column("lag_ms", Double, comment="from the exchange's clock to our commit, last batch"),
    Column("trades", BigInteger, nullable=False, server_default="0", comment="stored by this daemon"),
    Column("duplicates", BigInteger, nullable=False, server_default="0"),
    Column("reconnects", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("last_error_at", TIMESTAMP),
    Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("daemon", Text, nullable=False, server_default="", comment="host and process"),
    Column("recovered", BigInteger, nullable=False, server_default="0", comment="by this daemon"),
    CheckConstraint("state in ('connecting', 'live', 'down', 'stopped')", name="state"),
)

stream_gaps = Table(
    "stream_gaps",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("daemon", Text, nullable=False, comment="whose stream it was, or who took it over"),
    Column("cause", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("after_id", BigInteger, comment="the last trade before it"),
    Column("after_ts", TIMESTAMP, nullable=False, comment="its time; nothing is known after it"),
    Column("before_id", BigInteger, comment="the first trade after it"),
    Column("before_ts", TIMESTAMP, comment="its time; null: the stream has not come back"),
    Column("recovered", BigInteger, nullable=False, server_default="0", comment="trades stored by recovery"),
    Column("reason", Text, comment="why it is unfillable, or why the last try failed"),
    Column("opened_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("closed_at", TIMESTAMP),
    CheckConstraint("state in ('open', 'filled', 'unfillable')", name="state"),
    CheckConstraint("(state = 'open') = (closed_at is null)", name="closed"),
    comment="the ledger of interruptions: spans in which a stream was not heard, and what became of them",
)
Index("stream_gaps_open_idx", stream_gaps.c.market_id, postgresql_where=stream_gaps.c.state == "open")
Index(None, stream_gaps.c.market_id, stream_gaps.c.after_ts)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, comment="what is held: a market, the averages"),
    Column("holder", Text, nullable=False, comment="host and process"),
    Column("expires_at", TIMESTAMP, nullable=False, comment="by this server's clock"),
    comment="who of several daemons does what",
)

rejects = Table(
    "rejects",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("trade", JSONB, nullable=False, comment="as it was decoded"),
    Column("reason", Text, nullable=False),
    comment="trades that could not be stored",
)
Index(None, rejects.c.at)

service_heartbeats = Table(
    "service_heartbeats",
    metadata,
    Column("service", Text, primary_key=True),
    Column("instance", Text, primary_key=True, comment="host and process"),
    Column("started_at", TIMESTAMP, nullable=False),
    Column("beat_at", TIMESTAMP, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)

api_budgets = Table(
    "api_budgets",
    metadata,
    Column("host", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("tokens", Double, nullable=False),
    Column("refilled_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("blocked_until", TIMESTAMP),
    Column("month", Date, nullable=False, server_default=text("date_trunc('month', now())::date")),
    Column("calls_this_month", Integer, nullable=False, server_default="0"),
    Column("calls_per_month", Integer, comment="the most that are let through; null: as many as one likes"),
)

# Partitions are one UTC day each, made like those of ticks; after a week a day is thinned to one row
# a minute by warehouse.averages.
price_averages = Table(
    "price_averages",
    metadata,
    Column("ts", TIMESTAMP, nullable=False, comment="a whole second, when it was computed"),
    Column("price", Double, nullable=False),
    Column("confidence", Double, nullable=False, comment="distance to the further weighted quartile"),
    Column("change_24h", Double, comment="0.01 is 1 %; null where less than a day is stored"),
    Column("high_24h", Double, comment="median over the exchanges used"),
    Column("low_24h", Double, comment="median over the exchanges used"),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False, comment="degraded: of fewer than three exchanges"),
    Column("exchanges", ARRAY(Text), nullable=False, comment="those used"),
    Column("inputs", JSONB, nullable=False, comment="by exchange: price, ts, age_s, weight, used, why not"),
    PrimaryKeyConstraint("base", "quote", "ts"),
    CheckConstraint("method in ('median', 'mean', 'vwap')", name="method"),
    CheckConstraint("state in ('ok', 'degraded')", name="state"),
    postgresql_partition_by="RANGE (ts)",
)
Index(None, price_averages.c.ts)

quarantines = Table(
    "quarantines",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("since", TIMESTAMP, nullable=False, comment="from when on it was over 20 % from the others"),
    Column("released_at", TIMESTAMP, comment="null: it is left out of averages now"),
    Column("deviation", Double, nullable=False, comment="0.5 is 50 %; when it was quarantined or released"),
    PrimaryKeyConstraint("market_id", "since"),
    comment="markets taken for another coin of the same ticker, and left out of averages",
)
