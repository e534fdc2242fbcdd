"""Failed pipeline jobs, for alerts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text

from warehouse.tables.base import NOW, TIMESTAMP, metadata

job_failures = Table(
    "job_failures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("recorded_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("run_id", Text, nullable=False, unique=True, comment="Dagster run id"),
    Column("job", Text, nullable=False, comment="name of the job, or the assets of an ad-hoc run"),
    Column("why", Text, nullable=False, comment="error message of the run; may be empty"),
    comment="failed runs that will not be retried",
)
Index(None, job_failures.c.recorded_at)
