"""Failed pipeline jobs: written by a Dagster sensor, read by the alert endpoint."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.times import SECOND_US, from_datetime, to_datetime
from coinwatch.windows import Window

LONGEST_REASON = 300
AT_ONCE = 1_000

_RECORD = """
insert into job_failures (run_id, job, why) values (%s, %s, left(%s, %s)) on conflict do nothing
"""

_AFTER = """
select id, recorded_at, job, why from job_failures where id > %s order by id limit %s
"""

_WITHIN = """
select id, recorded_at, job, why from job_failures where recorded_at >= %s and recorded_at < %s order by id
"""

_LAST = "select coalesce(max(id), 0) from job_failures where recorded_at < %s"


class JobFailure(msgspec.Struct, frozen=True):
    """A failed run that will not be retried."""

    id: int
    """Increases with each failure."""
    recorded_us: int
    job: str
    """The name of the job, or the assets of an ad-hoc run."""
    why: str
    """The error message of the run; may be empty."""


async def record_failure(conn: AsyncConnection[Any], run_id: str, job: str, why: str) -> None:
    """Store that a run failed; a second time changes nothing. ``conn`` is in autocommit mode."""
    await conn.execute(_RECORD, (run_id, job, why.replace("\x00", ""), LONGEST_REASON))


async def failures_after(conn: AsyncConnection[Any], failure_id: int) -> list[JobFailure]:
    """The first AT_ONCE failures with a greater id."""
    return await _read(conn, _AFTER, failure_id, AT_ONCE)


async def failures_within(conn: AsyncConnection[Any], window: Window) -> list[JobFailure]:
    """All that were recorded in ``window``."""
    return await _read(conn, _WITHIN, to_datetime(window.start_us), to_datetime(window.end_us))


async def last_failure_id(conn: AsyncConnection[Any], at_us: int) -> int:
    """The id of the last failure visible to all readers at ``at_us``; 0 for none."""
    row = await (await conn.execute(_LAST, (to_datetime(at_us - SECOND_US),))).fetchone()
    return int(row[0]) if row else 0


async def _read(conn: AsyncConnection[Any], statement: str, *values: object) -> list[JobFailure]:
    rows = await (await conn.execute(statement, values)).fetchall()
    return [JobFailure(number, from_datetime(at), job, why) for number, at, job, why in rows]
