"""Outlets of clients besides the websocket, and the delivery of each event."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from warehouse.tables.base import NOW, TIMESTAMP, metadata

outlets = Table(
    "outlets",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("after_event_id", BigInteger, nullable=False, comment="events after this one are delivered"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("disabled_at", TIMESTAMP, comment="null: events are delivered"),
    Column("previous_until", TIMESTAMP, comment="end of the period signed with both secrets"),
    Column("client", Text, nullable=False, comment="named client whose events are delivered"),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False, comment="treat as a secret"),
    Column("secret", Text, comment="secret that signs webhooks"),
    Column("previous_secret", Text),
    Column("disabled_why", Text),
    CheckConstraint("kind in ('webhook', 'apprise')", name="kind"),
    CheckConstraint("(kind = 'webhook') = (secret is not null)", name="signed"),
)
Index(None, outlets.c.client)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", BigInteger, nullable=False, comment="id in alert_events"),
    Column("outlet_id", BigInteger, ForeignKey("outlets.id", ondelete="CASCADE"), nullable=False),
    Column("due_at", TIMESTAMP, nullable=False, server_default=NOW, comment="time of the next attempt"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("attempted_at", TIMESTAMP, comment="last attempt"),
    Column("delivered_at", TIMESTAMP),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default="0",
        comment="attempts since it was queued or resent",
    ),
    Column("http_status", Integer, comment="result of the last attempt"),
    Column("state", Text, nullable=False, server_default="waiting", comment="dead: given up"),
    Column("error", Text, comment="result of the last attempt"),
    PrimaryKeyConstraint("event_id", "outlet_id"),
    CheckConstraint("state in ('waiting', 'delivered', 'dead')", name="state"),
    CheckConstraint("(state = 'delivered') = (delivered_at is not null)", name="delivered"),
)
Index(
    "deliveries_due_idx",
    deliveries.c.outlet_id,
    deliveries.c.due_at,
    postgresql_where=deliveries.c.state == "waiting",
)
Index("deliveries_dead_idx", deliveries.c.outlet_id, postgresql_where=deliveries.c.state == "dead")
Index(None, deliveries.c.created_at)

delivery_cursor = Table(
    "delivery_cursor",
    metadata,
    Column("event_id", BigInteger, nullable=False, comment="events up to this one are queued"),
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    CheckConstraint('"only"', name="single_row"),
    comment="one row, locked by the endpoint that queues deliveries",
)
