"""What went wrong in the pipelines, for those who are told of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text

from warehouse.tables.base import NOW, TIMESTAMP, metadata

job_failures = Table(
    "job_failures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("recorded_at", TIMESTAMP, nullable=False, server_default=NOW),
    Column("run_id", Text, nullable=False, unique=True, comment="Dagster's"),
    Column("job", Text, nullable=False, comment="its name; of a run of chosen assets, theirs"),
    Column("why", Text, nullable=False, comment="what the run that failed said; empty: nothing"),
    comment="runs that failed and are not tried again",
)
Index(None, job_failures.c.recorded_at)
