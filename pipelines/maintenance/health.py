"""The health of Dagster, for the ``dagster`` row of ``service_heartbeats``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import dagster as dg
from psycopg import AsyncConnection

from coinwatch.times import to_datetime
from warehouse.candles.coverage import gaps
from warehouse.markets import markets_by_id

SERVICE = "dagster"
SPAN = timedelta(hours=24)
_LONGEST_TEXT = 500
_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def runs_by_status(instance: dg.DagsterInstance, since: datetime) -> dict[str, int]:
    """The number of runs since then that succeeded, failed or were canceled, and of all under way."""

    def count(*statuses: dg.DagsterRunStatus, after: datetime | None = since) -> int:
        return instance.get_runs_count(dg.RunsFilter(statuses=list(statuses), created_after=after))

    return {
        "success": count(dg.DagsterRunStatus.SUCCESS),
        "failure": count(dg.DagsterRunStatus.FAILURE),
        "canceled": count(dg.DagsterRunStatus.CANCELED),
        "under_way": count(*_UNDER_WAY, after=None),
    }


def last_failure(instance: dg.DagsterInstance) -> dict[str, str] | None:
    """The latest failed run: its job, id, end (ISO 8601, UTC) and error, cut to 500 characters."""
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
    if not records:
        return None
    (record,) = records
    run = record.dagster_run
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
    return {
        "job": run.job_name,
        "run_id": run.run_id,
        "at": ended.isoformat(timespec="seconds"),
        "text": failure_text(instance, run.run_id)[:_LONGEST_TEXT],
    }


def failure_text(instance: dg.DagsterInstance, run_id: str) -> str:
    """The error of the run's failed step, else the message of the run's failure."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    message = ""
    for record in instance.get_records_for_run(run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if not event.is_step_failure:
            message = message or event.message or ""
            continue
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            return failure.user_failure_data.description
        if failure.error:
            cause = failure.error.cause or failure.error
            return cause.message.strip()
    return message


async def oldest_gap(conn: AsyncConnection[Any]) -> dict[str, Any] | None:
    """The oldest missing range: market, span (ISO 8601, UTC) and the number of markets with any."""
    missing = await gaps(conn)
    if not missing:
        return None
    market_id, window = min(
        ((market_id, windows[0]) for market_id, windows in missing.items()), key=itemgetter(1)
    )
    return {
        "market": str((await markets_by_id(conn))[market_id]),
        "from": to_datetime(window.start_us).isoformat(),
        "to": to_datetime(window.end_us).isoformat(),
        "markets_with_gaps": len(missing),
    }
