"""Alert rules and events, and who they are for."""

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
    Column("client", Text, comment="the named owner, who can come back for missed alerts"),
    Column("connection", Text, comment="the connection of an unnamed owner; the rule ends with it"),
    Column("exchange", Text, comment="null: any exchange of the pair"),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("typed", Text, nullable=False, comment="the symbol as its owner wrote it"),
    Column("condition", JSONB, nullable=False),
    Column("note", Text),
    Column("armed", Boolean, nullable=False, server_default=text("true"), comment="it is watched for"),
    Column("state_no", Integer, nullable=False, server_default="0", comment="grows with each claim"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("fired_at", TIMESTAMP, comment="the last time"),
    Column("terms", JSONB, nullable=False, server_default="{}", comment="how it fires on its condition"),
    Column("state", JSONB, nullable=False, server_default="{}", comment="what it has come to"),
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
    Column("exchange", Text, comment="null: no single exchange is meant"),
    Column("trade_id", BigInteger, comment="null: no trade fired it"),
    Column("price", Double, comment="of what fired it, else the last one known"),
    Column("ts", TIMESTAMP, nullable=False, comment="that price's time"),
    Column("message", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("value", Double, comment="what was measured, in the unit of the condition"),
    Column("late", Boolean, nullable=False, server_default=text("false"), comment="by a recovered trade"),
    Column(
        "degraded",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="while an interruption of the market's stream was open",
    ),
    Column(
        "paused",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="the rule fired too often and is paused",
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
