"""What Dagster's own database tells from outside: whether its daemon lives, and its last runs."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import URL, Connection, text

from warehouse.connect import connect

DAGSTER_DATABASE = "dagster"
"""On the warehouse's server, apart from ours: both sides keep a table ``alembic_version``."""

_BEATS = """
select exists (
    select from daemon_heartbeats where timestamp > now() at time zone 'utc' - interval '1 minute'
)
"""


async def daemon_beats(url: URL) -> bool:
    """Whether Dagster's daemon beat within the last minute. ``url`` is that of Dagster's database.

    Raises WarehouseError or psycopg.Error (its tables are made by its first start).
    """
    async with await connect(url, application_name="coinwatch up") as conn:
        row = await (await conn.execute(_BEATS)).fetchone()
        return bool(row and row[0])


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as Dagster keeps it."""

    run_id: str
    job: str
    """The job's name; of a run of chosen assets, theirs."""
    launched_by: str
    """The schedule or sensor; empty for a person."""
    partition: str
    status: str
    """SUCCESS, FAILURE, STARTED, QUEUED, CANCELED, …"""
    created: datetime
    started: datetime | None
    ended: datetime | None


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


def last_runs(conn: Connection, most: int) -> tuple[Run, ...]:
    """The newest runs, the newest first. ``conn`` is to Dagster's own database.

    Raises what SQLAlchemy raises; its tables are made by its first start.
    """
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
        )
        for row in conn.execute(_RUNS, {"most": most})
    )
