"""Pruning of Dagster's own database, which Dagster never prunes.

The state of assets is kept: for each kind of event the newest of each asset and partition, the newest
result of each check, and the runs these refer to. Partition status, latest materialisations, freshness
and checks stay the same. Dagster's own command to delete a run would delete its materialisations too,
and the status of partitions with them.

Logs and step events of runs are deleted after CHATTER_DAYS; the history of assets, and then the run
itself, after HISTORY_DAYS. The tables are those of dagster 1.13 (dagster/_core/storage).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from warehouse.ops.retention import vacuum

CHATTER_DAYS = 7
HISTORY_DAYS = 30
_RUNS_AT_ONCE = 200
_EVENTS_AT_ONCE = 5_000

CHATTER = (
    "ASSET_STORE_OPERATION",
    "ENGINE_EVENT",
    "HANDLED_OUTPUT",
    "HOOK_COMPLETED",
    "HOOK_SKIPPED",
    "LOADED_INPUT",
    "LOGS_CAPTURED",
    "OBJECT_STORE_OPERATION",
    "RESOURCE_INIT_STARTED",
    "RESOURCE_INIT_SUCCESS",
    "STEP_EXPECTATION_RESULT",
    "STEP_INPUT",
    "STEP_WORKER_STARTED",
    "STEP_WORKER_STARTING",
)
"""With lines of logs, what only a run's own page shows. How it and its steps began and ended stays."""

_FINISHED = "status in ('SUCCESS', 'FAILURE', 'CANCELED')"
_ENDED = "coalesce(to_timestamp(end_time), update_timestamp at time zone 'utc')"

_OLD_RUNS = f"""
select id, run_id from runs
where {_FINISHED} and {_ENDED} < %(before)s and id > %(after_id)s
order by id limit %(batch)s
"""  # noqa: S608 -- constants of this file

_DELETE_CHATTER = """
delete from event_logs
where run_id = any(%(run_ids)s) and asset_key is null
  and (dagster_event_type is null or dagster_event_type = any(%(chatter)s))
"""

# Assets with partitions and those without are looked up by an index each.
_SUPERSEDED = """
select id from event_logs as old
where asset_key is not null and timestamp < %(before)s
  and (
    partition is null and exists (
        select from event_logs as newer
        where newer.asset_key = old.asset_key and newer.dagster_event_type = old.dagster_event_type
          and newer.id > old.id and newer.partition is null
    )
    or partition is not null and exists (
        select from event_logs as newer
        where newer.asset_key = old.asset_key and newer.dagster_event_type = old.dagster_event_type
          and newer.partition = old.partition and newer.id > old.id
    )
  )
"""

# A check under way has no result yet, so the newer row must have one.
_DELETE_CHECKS = """
delete from asset_check_executions as old
where evaluation_event_timestamp < %(before)s and exists (
    select from asset_check_executions as newer
    where newer.asset_key = old.asset_key and newer.check_name = old.check_name
      and newer.partition is not distinct from old.partition and newer.id > old.id
      and newer.execution_status in ('SUCCEEDED', 'FAILED')
)
"""

# Checks have no asset_key in event_logs; their results are read from asset_check_executions.
_SUPERSEDED_CHECKS = """
select id from event_logs
where dagster_event_type in ('ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED')
  and timestamp < %(before)s
  and not exists (select from asset_check_executions where evaluation_event_storage_id = event_logs.id)
"""

_DELETE_TAGS = "delete from asset_event_tags where event_id = any(%s)"
_DELETE_EVENTS = "delete from event_logs where id = any(%s)"

_FORGOTTEN_RUNS = f"""
select run_id from runs
where {_FINISHED} and {_ENDED} < %(before)s and backfill_id is null
  and not exists (
    select from event_logs
    where event_logs.run_id = runs.run_id
      and (asset_key is not null or dagster_event_type like 'ASSET\\_%%')
  )
  and not exists (select from asset_keys where last_run_id = runs.run_id)
  and not exists (select from asset_check_executions as checks where checks.run_id = runs.run_id)
order by id limit %(batch)s
"""  # noqa: S608 -- constants of this file

_GONE_OR_OLD = f"""
select asked.run_id from unnest(%(run_ids)s::text[]) as asked (run_id)
where not exists (
    select from runs where runs.run_id = asked.run_id and not ({_FINISHED} and {_ENDED} < %(before)s)
)
"""  # noqa: S608 -- constants of this file

_BYTES = "select pg_database_size(current_database())"

VACUUMED = (
    "event_logs",
    "asset_event_tags",
    "asset_check_executions",
    "runs",
    "run_tags",
    "job_ticks",
    "asset_keys",
)


async def delete_chatter(conn: AsyncConnection[Any], before: datetime) -> int:
    """Delete logs and step events of runs that ended before then; return how many events.

    In batches: ``conn``, to Dagster's database, must be in autocommit. Starts, ends and
    errors of steps stay, so that the page of such a run still shows its outcome.
    """
    deleted, last_id = 0, 0
    while True:
        asked = {"before": before, "after_id": last_id, "batch": _RUNS_AT_ONCE}
        runs = await (await conn.execute(_OLD_RUNS, asked)).fetchall()
        if not runs:
            return deleted
        last_id = runs[-1][0]
        run_ids = [run_id for _, run_id in runs]
        cursor = await conn.execute(_DELETE_CHATTER, {"run_ids": run_ids, "chatter": list(CHATTER)})
        deleted += cursor.rowcount


async def delete_superseded(conn: AsyncConnection[Any], before: datetime) -> int:
    """Delete the events and results from before then that a newer one replaces; returns how many events.

    Replaced is an event of the same kind, asset and partition, and a result of the same check.
    As ``delete_chatter``.
    """
    asked = {"before": before}
    await conn.execute(_DELETE_CHECKS, asked)
    ids = [*await _ids(conn, _SUPERSEDED, asked), *await _ids(conn, _SUPERSEDED_CHECKS, asked)]
    for start in range(0, len(ids), _EVENTS_AT_ONCE):
        batch = ids[start : start + _EVENTS_AT_ONCE]
        async with conn.transaction():
            await conn.execute(_DELETE_TAGS, (batch,))
            await conn.execute(_DELETE_EVENTS, (batch,))
    return len(ids)


async def forgotten_runs(conn: AsyncConnection[Any], before: datetime, most: int) -> list[str]:
    """The oldest runs that ended before then and that nothing refers to: no asset, check or backfill."""
    return await _ids(conn, _FORGOTTEN_RUNS, {"before": before, "batch": most})


async def gone_or_old(conn: AsyncConnection[Any], run_ids: Sequence[str], before: datetime) -> list[str]:
    """Those of ``run_ids`` that ended before then, or that Dagster no longer knows."""
    return await _ids(conn, _GONE_OR_OLD, {"run_ids": list(run_ids), "before": before})


async def database_bytes(conn: AsyncConnection[Any]) -> int:
    """What the database that ``conn`` is of takes on disk."""
    row = await (await conn.execute(_BYTES)).fetchone()
    return int(row[0]) if row else 0


async def vacuum_dagster(conn: AsyncConnection[Any]) -> None:
    """Make the place of deleted rows usable again. ``conn`` must be in autocommit."""
    await vacuum(conn, VACUUMED, ())


async def _ids(conn: AsyncConnection[Any], query: str, asked: dict[str, Any]) -> list[Any]:
    return [row_id for (row_id,) in await (await conn.execute(query, asked)).fetchall()]
