"""Other ways out than the websocket

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIMESTAMP = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "outlets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("after_event_id", sa.BigInteger(), nullable=False, comment="later events are delivered"),
        sa.Column("created_at", _TIMESTAMP, server_default=_NOW, nullable=False),
        sa.Column("disabled_at", _TIMESTAMP, nullable=True, comment="null: events are delivered"),
        sa.Column(
            "previous_until",
            _TIMESTAMP,
            nullable=True,
            comment="until then it is signed with the previous secret too",
        ),
        sa.Column("client", sa.Text(), nullable=False, comment="the named client whose events they are"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="as good as a secret"),
        sa.Column("secret", sa.Text(), nullable=True, comment="what webhooks are signed with"),
        sa.Column("previous_secret", sa.Text(), nullable=True),
        sa.Column("disabled_why", sa.Text(), nullable=True),
        sa.CheckConstraint("kind in ('webhook', 'apprise')", name=op.f("outlets_kind_check")),
        sa.CheckConstraint("(kind = 'webhook') = (secret is not null)", name=op.f("outlets_signed_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("outlets_pkey")),
    )
    op.create_index(op.f("outlets_client_idx"), "outlets", ["client"])

    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="of alert_events"),
        sa.Column("outlet_id", sa.BigInteger(), nullable=False),
        sa.Column("due_at", _TIMESTAMP, server_default=_NOW, nullable=False, comment="of the next attempt"),
        sa.Column("created_at", _TIMESTAMP, server_default=_NOW, nullable=False),
        sa.Column("attempted_at", _TIMESTAMP, nullable=True, comment="the last time"),
        sa.Column("delivered_at", _TIMESTAMP, nullable=True),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="since it was queued or resent",
        ),
        sa.Column("http_status", sa.Integer(), nullable=True, comment="of the last attempt"),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False, comment="dead: given up"),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.CheckConstraint("state in ('waiting', 'delivered', 'dead')", name=op.f("deliveries_state_check")),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at is not null)", name=op.f("deliveries_delivered_check")
        ),
        sa.ForeignKeyConstraint(
            ["outlet_id"], ["outlets.id"], name=op.f("deliveries_outlet_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "outlet_id", name=op.f("deliveries_pkey")),
    )
    op.create_index(
        "deliveries_due_idx",
        "deliveries",
        ["outlet_id", "due_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "deliveries_dead_idx", "deliveries", ["outlet_id"], postgresql_where=sa.text("state = 'dead'")
    )
    op.create_index(op.f("deliveries_created_at_idx"), "deliveries", ["created_at"])

    op.create_table(
        "delivery_cursor",
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="events up to this one were queued"),
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint('"only"', name=op.f("delivery_cursor_single_row_check")),
        sa.PrimaryKeyConstraint("only", name=op.f("delivery_cursor_pkey")),
        comment="one row, locked by the endpoint that queues deliveries",
    )
    op.execute(
        "insert into delivery_cursor (event_id) select coalesce(max(last_event_id), 0) from alert_counter"
    )
