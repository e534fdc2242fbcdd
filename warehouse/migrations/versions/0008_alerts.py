"""Alerts on any condition: terms and state of rules, and what events say besides a trade

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_FLAGS = {
    "late": "by a recovered trade",
    "degraded": "while an interruption of the market's stream was open",
    "paused": "the rule fired too often and is paused",
}


def upgrade() -> None:
    op.alter_column("alert_rules", "armed", comment="it is watched for")
    op.alter_column("alert_rules", "fired_at", comment="the last time")
    for name, comment in (("terms", "how it fires on its condition"), ("state", "what it has come to")):
        op.add_column(
            "alert_rules",
            sa.Column(name, postgresql.JSONB(), nullable=False, server_default="{}", comment=comment),
        )
    for owner in ("client", "connection"):
        op.create_index(
            op.f(f"alert_rules_{owner}_idx"),
            "alert_rules",
            [owner],
            postgresql_where=sa.text(f"{owner} is not null"),
        )
    # The message that a rule was made with is one of its terms now.
    op.execute(
        """
        update alert_rules
        set terms = jsonb_build_object('template', condition -> 'message'), condition = condition - 'message'
        where condition ? 'message'
        """
    )
    op.alter_column("alert_events", "exchange", nullable=True, comment="null: no single exchange is meant")
    op.alter_column("alert_events", "trade_id", nullable=True, comment="null: no trade fired it")
    op.alter_column(
        "alert_events", "price", nullable=True, comment="of what fired it, else the last one known"
    )
    op.alter_column("alert_events", "ts", comment="that price's time", existing_comment="the trade's time")
    op.add_column(
        "alert_events",
        sa.Column("value", sa.Double(), comment="what was measured, in the unit of the condition"),
    )
    for name, comment in _FLAGS.items():
        op.add_column(
            "alert_events",
            sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.text("false"), comment=comment),
        )
