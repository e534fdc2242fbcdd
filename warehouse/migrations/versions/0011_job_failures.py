"""Failures of jobs, for those who are told of them

Revision: 0011, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_failures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster's"),
        sa.Column("job", sa.Text(), nullable=False, comment="its name; of a run of chosen assets, theirs"),
        sa.Column("why", sa.Text(), nullable=False, comment="what the run that failed said; empty: nothing"),
        sa.PrimaryKeyConstraint("id", name=op.f("job_failures_pkey")),
        sa.UniqueConstraint("run_id", name=op.f("job_failures_run_id_key")),
        comment="runs that failed and are not tried again",
    )
    op.create_index(op.f("job_failures_recorded_at_idx"), "job_failures", ["recorded_at"])
