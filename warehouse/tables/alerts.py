"""Alert rules, their events and the subscribers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from warehouse.tables.base import NOW, TIMESTAMP, metadata

alert_rules = Table(
    "alert_rules",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("client", Text, comment="the named client that owns the rule, and can resume after missed alerts"),
    Column("connection", Text, comment="the connection of an unnamed client; the rule ends with it"),
    Column("exchange", Text, comment="null: any exchange of the pair"),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("typed", Text, nullable=False, comment="the symbol as the client wrote it"),
    Column("condition", JSONB, nullable=False),
    Column("note", Text),
    Column(
        "armed",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="evaluated; false after its last firing",
    ),
    Column("state_no", Integer, nullable=False, server_default="0", comment="incremented by each claim"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("fired_at", TIMESTAMP, comment="last firing"),
    Column(
        "terms",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="repeat, cooldown, expiry and other terms",
    ),
    Column(
        "state",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="progress of the rule: pauses, last values, …",
    ),
    CheckConstraint("(client is null) <> (connection is null)", name="owner"),
)
Index("alert_rules_armed_idx", alert_rules.c.id, postgresql_where=alert_rules.c.armed)
Index(None, alert_rules.c.client, postgresql_where=alert_rules.c.client.is_not(None))
Index(None, alert_rules.c.connection, postgresql_where=alert_rules.c.connection.is_not(None))

alert_events = Table(
    "alert_events",
    metadata,
    Column("event_id", BigInteger, primary_key=True, autoincrement=False, comment="in commit order"),
    Column("rule_id", BigInteger, nullable=False),
    Column("client", Text),
    Column("connection", Text),
    Column("symbol", Text, nullable=False),
    Column("exchange", Text, comment="null: not of a single exchange"),
    Column("trade_id", BigInteger, comment="null: not fired by a trade"),
    Column("price", Double, comment="price that fired the rule, or the last known price"),
    Column("ts", TIMESTAMP, nullable=False, comment="time of that price"),
    Column("message", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("value", Double, comment="measured value, in the unit of the condition"),
    Column(
        "late", Boolean, nullable=False, server_default=text("false"), comment="fired by a recovered trade"
    ),
    Column(
        "degraded",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="fired while a stream gap of the market was open",
    ),
    Column(
        "paused",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="the rule fired too often and was paused",
    ),
)
Index(None, alert_events.c.client, alert_events.c.event_id)

alert_counter = Table(
    "alert_counter",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    Column("last_event_id", BigInteger, nullable=False, server_default="0"),
    CheckConstraint('"only"', name="single_row"),
    comment="one row, updated inside each claim, so that event numbers follow commit order",
)

subscribers = Table(
    "subscribers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("first_seen_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("last_seen_at", TIMESTAMP, nullable=False, server_default=NOW),
)
