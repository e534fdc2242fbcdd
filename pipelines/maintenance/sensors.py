"""Sensors that report Dagster's health and failed runs to the warehouse.

They are sensors because a run per report would take longer than the report itself.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

import dagster as dg

from pipelines.maintenance.health import SERVICE, SPAN, failure_text, last_failure, oldest_gap, runs_by_status
from pipelines.resources import Coinwatch
from pipelines.run_tags import will_retry
from warehouse.alerts.job_failures import record_failure
from warehouse.ops.health import beat

_STARTED = datetime.now(UTC)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def report_health(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.SkipReason:
    """Write the runs of the last 24 hours, the last failure and the oldest gap to service_heartbeats."""
    instance = context.instance
    runs = runs_by_status(instance, datetime.now(UTC) - SPAN)
    asyncio.run(_beat(coinwatch, {"runs_24h": runs, "last_failure": last_failure(instance)}))
    return dg.SkipReason(
        f"Reported: {runs['success']} runs succeeded and {runs['failure']} failed in the last 24 hours; "
        f"{runs['under_way']} are in progress."
    )


async def _beat(coinwatch: Coinwatch, detail: dict[str, object]) -> None:
    async with coinwatch.warehouse() as conn:
        detail["oldest_gap"] = await oldest_gap(conn)
        await beat(conn, SERVICE, socket.gethostname(), _STARTED, detail)


@dg.run_failure_sensor(minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def report_failures(context: dg.RunFailureSensorContext, coinwatch: Coinwatch) -> dg.SkipReason:
    """Write each run that failed without further retries to job_failures, for alerts on failed jobs."""
    run = context.dagster_run
    if will_retry(run):
        return dg.SkipReason(f"Run {run.run_id} will be retried.")
    asyncio.run(_record(coinwatch, run.run_id, _name(run), failure_text(context.instance, run.run_id)))
    return dg.SkipReason(f"Reported: {_name(run)} failed.")


def _name(run: dg.DagsterRun) -> str:
    """The job's name, or the assets' names for a run of selected assets."""
    if run.job_name.startswith("__") and run.asset_selection:
        return ", ".join(sorted(key.to_user_string() for key in run.asset_selection))
    return run.job_name


async def _record(coinwatch: Coinwatch, run_id: str, job: str, error: str) -> None:
    async with coinwatch.warehouse() as conn:
        await record_failure(conn, run_id, job, error)
