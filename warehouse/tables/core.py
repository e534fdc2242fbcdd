"""Markets, trades, candles, averages, and the state of streams and services."""

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
    Column(
        "quote_volume_24h",
        Double,
        comment="latest 24 h volume from the exchange's tickers, in the quote asset",
    ),
    UniqueConstraint("exchange", "symbol"),
    CheckConstraint("status in ('active', 'delisted')", name="status"),
    CheckConstraint("symbol = base || '-' || quote", name="symbol"),
)

# Widest columns first, so that rows need no padding. One partition a UTC day, created by
# warehouse.db.partitions; there is no DEFAULT partition.
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
        comment="transaction that stored the row",
    ),
    Column(
        "market_id",
        Integer,
        nullable=False,
        comment="id in markets; no foreign key, which would halve the speed of COPY",
    ),
    Column("day", Date, nullable=False, comment="UTC date of ts"),
    Column("taker_buys", Boolean, nullable=False),
    PrimaryKeyConstraint("market_id", "trade_id", "day"),
    postgresql_partition_by="RANGE (day)",
)
Index(None, ticks.c.market_id, ticks.c.ts)

# One partition a UTC month, created like those of ticks.
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
        comment="id in markets; no foreign key, which would cost a third of the write speed",
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
        comment="ranges verified against the exchange, minutes without trades included",
    ),
    Column(
        "unavailable",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="ranges that the exchange no longer serves",
    ),
    Column(
        "wanted",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="requested ranges; without end while the market is active",
    ),
)

candle_rollups = Table(
    "candle_rollups",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("interval", Text, primary_key=True, comment="interval of the rollup, 5m and longer"),
    Column(
        "due", TSTZMULTIRANGE, nullable=False, comment="ranges whose 1m candles changed since the last rollup"
    ),
    comment="rollups that are due",
)

candle_checks = Table(
    "candle_checks",
    metadata,
    Column("checked_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("repaired", Integer, nullable=False, server_default="0", comment="corrected minutes"),
    Column("state", Text, nullable=False, comment="same, repaired, differs, or incomplete"),
    Column(
        "detail",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="our candle, the exchange's candle and the remaining difference",
    ),
    PrimaryKeyConstraint("market_id", "day"),
    CheckConstraint("state in ('same', 'repaired', 'differs', 'incomplete')", name="state"),
    comment="daily comparison of candles with the exchange's own daily candle",
)

stream_health = Table(
    "stream_health",
    metadata,
    Column("market_id", Integer, ForeignKey("markets.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("last_price", Double),
    Column("last_trade_ts", TIMESTAMP, comment="by the exchange's clock"),
    Column("last_received_at", TIMESTAMP, comment="by our clock"),
    Column("lag_ms", Double, comment="from the exchange's clock to our commit, in the last batch"),
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
    Column("daemon", Text, nullable=False, comment="daemon of the stream, or the daemon that took it over"),
    Column("cause", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("after_id", BigInteger, comment="id of the last trade before the gap"),
    Column("after_ts", TIMESTAMP, nullable=False, comment="time of the last trade before the gap"),
    Column("before_id", BigInteger, comment="id of the first trade after the gap"),
    Column("before_ts", TIMESTAMP, comment="time of the first trade after the gap; null: still interrupted"),
    Column("recovered", BigInteger, nullable=False, server_default="0", comment="trades stored by recovery"),
    Column("reason", Text, comment="why it is unfillable, or why the last attempt failed"),
    Column("opened_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("closed_at", TIMESTAMP),
    CheckConstraint("state in ('open', 'filled', 'unfillable')", name="state"),
    CheckConstraint("(state = 'open') = (closed_at is null)", name="closed"),
    comment="stream gaps: interruptions of market streams, and their recovery",
)
Index("stream_gaps_open_idx", stream_gaps.c.market_id, postgresql_where=stream_gaps.c.state == "open")
Index(None, stream_gaps.c.market_id, stream_gaps.c.after_ts)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, comment="task: a market, or the averages"),
    Column("holder", Text, nullable=False, comment="host and process"),
    Column("expires_at", TIMESTAMP, nullable=False, comment="by the clock of the database"),
    comment="tasks that one of several daemons holds",
)

rejects = Table(
    "rejects",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("market_id", Integer, ForeignKey("markets.id"), nullable=False),
    Column("trade", JSONB, nullable=False, comment="the decoded trade"),
    Column("reason", Text, nullable=False),
    comment="trades that Postgres or a sanity check refused",
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
    Column("calls_per_month", Integer, comment="monthly limit; null: unlimited"),
)

# One partition a UTC day, created like those of ticks; after a week, warehouse.averages thins a day to one
# row a minute.
price_averages = Table(
    "price_averages",
    metadata,
    Column("ts", TIMESTAMP, nullable=False, comment="time of the computation, a whole second"),
    Column("price", Double, nullable=False),
    Column("confidence", Double, nullable=False, comment="distance to the farther weighted quartile"),
    Column("change_24h", Double, comment="0.01 is 1 %; null where less than a day is stored"),
    Column("high_24h", Double, comment="median over the exchanges used"),
    Column("low_24h", Double, comment="median over the exchanges used"),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False, comment="degraded: from fewer than three exchanges"),
    Column("exchanges", ARRAY(Text), nullable=False, comment="exchanges used"),
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
    Column(
        "since",
        TIMESTAMP,
        nullable=False,
        comment="start of the deviation of over 20 % from the other exchanges",
    ),
    Column("released_at", TIMESTAMP, comment="null: excluded from averages now"),
    Column(
        "deviation", Double, nullable=False, comment="deviation when quarantined or released; 0.5 is 50 %"
    ),
    PrimaryKeyConstraint("market_id", "since"),
    comment="markets excluded from averages, presumably another coin with the same ticker",
)
