"""The first tables

Revision: 0001, after nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_counter",
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("last_event_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint('"only"', name=op.f("alert_counter_single_row_check")),
        sa.PrimaryKeyConstraint("only", name=op.f("alert_counter_pkey")),
        comment="one row, updated inside each claim, so that event numbers follow commit order",
    )

    op.create_table(
        "alert_events",
        sa.Column(
            "event_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="in commit order"
        ),
        sa.Column("rule_id", sa.BigInteger(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("connection", sa.Text(), nullable=True),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False, comment="the trade's time"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("alert_events_pkey")),
    )
    op.create_index(
        op.f("alert_events_client_event_id_idx"), "alert_events", ["client", "event_id"], unique=False
    )

    op.create_table(
        "alert_rules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "client", sa.Text(), nullable=True, comment="the named owner, who can come back for missed alerts"
        ),
        sa.Column(
            "connection",
            sa.Text(),
            nullable=True,
            comment="the connection of an unnamed owner; the rule ends with it",
        ),
        sa.Column("exchange", sa.Text(), nullable=True, comment="null: any exchange of the pair"),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("typed", sa.Text(), nullable=False, comment="the symbol as its owner wrote it"),
        sa.Column("condition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("armed", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "state_no", sa.Integer(), server_default="0", nullable=False, comment="grows with each claim"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(client is null) <> (connection is null)", name=op.f("alert_rules_owner_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("alert_rules_pkey")),
    )
    op.create_index(
        "alert_rules_armed_idx", "alert_rules", ["id"], unique=False, postgresql_where=sa.text("armed")
    )

    op.create_table(
        "api_budgets",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("refilled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "month", sa.Date(), server_default=sa.text("date_trunc('month', now())::date"), nullable=False
        ),
        sa.Column("calls_this_month", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("host", "scope", name=op.f("api_budgets_pkey")),
    )

    op.create_table(
        "markets",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False, comment="canonical, BTC-USDT"),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("native", sa.Text(), nullable=False, comment="the exchange's own spelling"),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("listed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delisted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("price_step", sa.Double(), nullable=True),
        sa.Column("amount_step", sa.Double(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status in ('active', 'delisted')", name=op.f("markets_status_check")),
        sa.CheckConstraint("symbol = base || '-' || quote", name=op.f("markets_symbol_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("markets_pkey")),
        sa.UniqueConstraint("exchange", "symbol", name=op.f("markets_exchange_symbol_key")),
    )

    op.create_table(
        "service_heartbeats",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False, comment="host and process"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("service", "instance", name=op.f("service_heartbeats_pkey")),
    )

    op.create_table(
        "subscribers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("subscribers_pkey")),
    )

    op.create_table(
        "candle_coverage",
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column(
            "covered",
            postgresql.TSTZMULTIRANGE(),
            server_default="{}",
            nullable=False,
            comment="spans verified against the exchange, empty minutes included",
        ),
        sa.Column(
            "unavailable",
            postgresql.TSTZMULTIRANGE(),
            server_default="{}",
            nullable=False,
            comment="spans the exchange no longer serves",
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("candle_coverage_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "interval", name=op.f("candle_coverage_pkey")),
    )

    op.create_table(
        "candles",
        sa.Column("open_ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.Column("quote_volume", sa.Double(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("trades", sa.Integer(), nullable=True),
        sa.Column("revision", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), server_default="exchange", nullable=False),
        sa.CheckConstraint("source in ('exchange', 'ticks', 'rollup')", name=op.f("candles_source_check")),
        sa.CheckConstraint(
            "low <= least(open, close) and high >= greatest(open, close)", name=op.f("candles_shape_check")
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("candles_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", "interval", "open_ts", name=op.f("candles_pkey")),
        postgresql_partition_by="RANGE (open_ts)",
    )

    op.create_table(
        "stream_health",
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_price", sa.Double(), nullable=True),
        sa.Column("last_trade_ts", sa.DateTime(timezone=True), nullable=True, comment="the exchange's clock"),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=True, comment="our clock"),
        sa.Column(
            "lag_ms",
            sa.Double(),
            nullable=True,
            comment="from the exchange's clock to our commit, last batch",
        ),
        sa.Column(
            "trades", sa.BigInteger(), server_default="0", nullable=False, comment="stored by this daemon"
        ),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reconnects", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state in ('connecting', 'live', 'down', 'stopped')", name=op.f("stream_health_state_check")
        ),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("stream_health_market_id_fkey")),
        sa.PrimaryKeyConstraint("market_id", name=op.f("stream_health_pkey")),
    )

    op.create_table(
        "ticks",
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column(
            "tx",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
            comment="the transaction that stored the row",
        ),
        sa.Column(
            "market_id",
            sa.Integer(),
            nullable=False,
            comment="of markets; no foreign key: it halves the speed of COPY",
        ),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC date of ts"),
        sa.Column("taker_buys", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("market_id", "trade_id", "day", name=op.f("ticks_pkey")),
        postgresql_partition_by="RANGE (day)",
    )
    op.create_index(op.f("ticks_market_id_ts_idx"), "ticks", ["market_id", "ts"], unique=False)

    op.execute("INSERT INTO alert_counter DEFAULT VALUES")
