"""Dagster's own database: the heartbeat of its daemon, its last runs, and a repair."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import URL, Connection, text

from warehouse.db.connect import session

DAGSTER_DATABASE = "dagster"
"""On the same server as the warehouse, but separate: both have a table ``alembic_version``."""

BEATS_WITHIN = timedelta(minutes=1)
_BEATS = "select exists (select from daemon_heartbeats where timestamp > %s)"


async def daemon_beats(url: URL) -> bool:
    """Whether Dagster's daemon beat within the last minute. ``url`` is that of Dagster's database.

    The times of beats are those of this machine, not of the server.

    Raises WarehouseError, also before the first start of Dagster, which creates its tables.
    """
    async with session(url, application_name="coinwatch up") as conn:
        since = datetime.now(UTC).replace(tzinfo=None) - BEATS_WITHIN
        row = await (await conn.execute(_BEATS, [since])).fetchone()
        return bool(row and row[0])


def delete_job(conn: Connection, origin_id: str) -> None:
    """Delete the state of a schedule or sensor from Dagster's table ``jobs``."""
    conn.execute(text("delete from jobs where job_origin_id = :origin_id"), {"origin_id": origin_id})


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run in Dagster's database."""

    run_id: str
    job: str
    """The name of the job, or the assets of an ad-hoc run."""
    launched_by: str
    """The schedule or sensor; empty when started by hand."""
    partition: str
    status: str
    """SUCCESS, FAILURE, STARTED, QUEUED, CANCELED, …"""
    created: datetime
    started: datetime | None
    ended: datetime | None
    why: str = ""
    """The error message of a failed run."""


_RUNS = text("""
select runs.run_id, pipeline_name as job, status, coalesce(runs.partition, tag.partition, '') as partition,
    coalesce(tag.launched_by, '') as launched_by, create_timestamp at time zone 'utc' as created,
    to_timestamp(start_time) as started, to_timestamp(end_time) as ended,
    jsonb_path_query_array(
        cast(run_body as jsonb), '$.asset_selection.__frozenset__[*].path[*]'
    ) as assets
from runs
cross join lateral (
    select max(value) filter (where key = 'dagster/partition') as partition,
        max(value) filter (where key in ('dagster/schedule_name', 'dagster/sensor_name')) as launched_by
    from run_tags where run_tags.run_id = runs.run_id
) tag
order by runs.id desc limit :most""")


_LONGEST_REASON = 500

# A Failure has its own description; other errors have the exception as their cause.
_FAILURES = text("""
select distinct on (run_id) run_id, left(btrim(coalesce(
    content #>> '{event_specific_data,user_failure_data,description}',
    content #>> '{event_specific_data,error,cause,message}',
    content #>> '{event_specific_data,error,message}',
    content ->> 'message'
), E' \\n'), :longest) as words
from event_logs
cross join lateral (select cast(event_logs.event as jsonb) -> 'dagster_event' as content) as dagster_event
where run_id = any(:run_ids) and dagster_event_type in ('STEP_FAILURE', 'PIPELINE_FAILURE')
order by run_id, dagster_event_type desc, id desc""")


def last_runs(conn: Connection, most: int) -> tuple[Run, ...]:
    """The newest runs, the newest first. ``conn`` is to Dagster's own database.

    Raises WarehouseError, also before the first start of Dagster, which creates its tables.
    """
    rows = conn.execute(_RUNS, {"most": most}).all()
    failed = [row.run_id for row in rows if row.status == "FAILURE"]
    why = _why_failed(conn, failed) if failed else {}
    return tuple(
        Run(
            run_id=row.run_id,
            job=", ".join(sorted(row.assets)) if row.job.startswith("__") and row.assets else row.job,
            launched_by=row.launched_by,
            partition=row.partition,
            status=row.status,
            created=row.created,
            started=row.started,
            ended=row.ended,
            why=why.get(row.run_id, ""),
        )
        for row in rows
    )


def _why_failed(conn: Connection, run_ids: Collection[str]) -> dict[str, str]:
    """The message of the last failed step of each run, else that of the run, by run id."""
    rows = conn.execute(_FAILURES, {"run_ids": list(run_ids), "longest": _LONGEST_REASON})
    return {row.run_id: row.words for row in rows if row.words}
