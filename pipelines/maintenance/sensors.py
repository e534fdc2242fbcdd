"""What is told of Dagster to those who do not look at it.

Sensors, as runs for it would take longer than what they tell.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

import dagster as dg

from pipelines.dagster_private import WILL_RETRY_TAG
from pipelines.maintenance.health import SERVICE, SPAN, last_failure, oldest_gap, runs_by_status, why_failed
from pipelines.resources import Coinwatch
from warehouse.alerts.job_failures import record_failure
from warehouse.ops.health import beat

_STARTED = datetime.now(UTC)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def tell_health(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.SkipReason:
    """Write runs of the last 24 hours, the last failure and the oldest gap to service_heartbeats."""
    instance = context.instance
    runs = runs_by_status(instance, datetime.now(UTC) - SPAN)
    asyncio.run(_tell(coinwatch, {"runs_24h": runs, "last_failure": last_failure(instance)}))
    return dg.SkipReason(
        f"Told: in 24 hours {runs['success']} runs succeeded and {runs['failure']} failed; "
        f"{runs['under_way']} are under way."
    )


async def _tell(coinwatch: Coinwatch, detail: dict[str, object]) -> None:
    async with coinwatch.warehouse() as conn:
        detail["oldest_gap"] = await oldest_gap(conn)
        await beat(conn, SERVICE, socket.gethostname(), _STARTED, detail)


@dg.run_failure_sensor(minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def tell_failures(context: dg.RunFailureSensorContext, coinwatch: Coinwatch) -> dg.SkipReason:
    """Write each run that failed for good to job_failures, where alerts on failed jobs look."""
    run = context.dagster_run
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return dg.SkipReason(f"{run.run_id} will be tried again.")
    asyncio.run(_record(coinwatch, run.run_id, _name(run), why_failed(context.instance, run.run_id)))
    return dg.SkipReason(f"Told: {_name(run)} failed.")


def _name(run: dg.DagsterRun) -> str:
    """The job's name; of a run of chosen assets, theirs."""
    if run.job_name.startswith("__") and run.asset_selection:
        return ", ".join(sorted(key.to_user_string() for key in run.asset_selection))
    return run.job_name


async def _record(coinwatch: Coinwatch, run_id: str, job: str, why: str) -> None:
    async with coinwatch.warehouse() as conn:
        await record_failure(conn, run_id, job, why)
