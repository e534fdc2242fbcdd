"""The ledger of interruptions, leases, rejected trades

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")
_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "stream_gaps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("daemon", sa.Text(), nullable=False, comment="whose stream it was, or who took it over"),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=True, comment="the last trade before it"),
        sa.Column("after_ts", _TIMESTAMP, nullable=False, comment="its time; nothing is known after it"),
        sa.Column("before_id", sa.BigInteger(), nullable=True, comment="the first trade after it"),
        sa.Column(
            "before_ts", _TIMESTAMP, nullable=True, comment="its time; null: the stream has not come back"
        ),
        sa.Column(
            "recovered",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="trades stored by recovery",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="why it is unfillable, or why the last try failed"
        ),
        sa.Column("opened_at", _TIMESTAMP, server_default=_NOW, nullable=False),
        sa.Column("closed_at", _TIMESTAMP, nullable=True),
        sa.CheckConstraint("(state = 'open') = (closed_at is null)", name=op.f("stream_gaps_closed_check")),
        sa.CheckConstraint("state in ('open', 'filled', 'unfillable')", name=op.f("stream_gaps_state_check")),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("stream_gaps_market_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("stream_gaps_pkey")),
        comment="the ledger of interruptions: spans in which a stream was not heard, and what became of them",
    )
    op.create_index(
        "stream_gaps_open_idx", "stream_gaps", ["market_id"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(op.f("stream_gaps_market_id_after_ts_idx"), "stream_gaps", ["market_id", "after_ts"])

    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False, comment="what is held: a market, the averages"),
        sa.Column("holder", sa.Text(), nullable=False, comment="host and process"),
        sa.Column("expires_at", _TIMESTAMP, nullable=False, comment="by this server's clock"),
        sa.PrimaryKeyConstraint("name", name=op.f("leases_pkey")),
        comment="who of several daemons does what",
    )

    op.create_table(
        "rejects",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", _TIMESTAMP, server_default=_NOW, nullable=False),
        sa.Column("market_id", sa.Integer(), nullable=False),
        sa.Column("trade", postgresql.JSONB(), nullable=False, comment="as it was decoded"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["market_id"], ["markets.id"], name=op.f("rejects_market_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("rejects_pkey")),
        comment="trades that could not be stored",
    )
    op.create_index(op.f("rejects_at_idx"), "rejects", ["at"])

    op.add_column(
        "stream_health",
        sa.Column("daemon", sa.Text(), server_default="", nullable=False, comment="host and process"),
    )
    op.add_column(
        "stream_health",
        sa.Column("recovered", sa.BigInteger(), server_default="0", nullable=False, comment="by this daemon"),
    )
