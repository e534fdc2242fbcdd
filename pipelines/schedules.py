"""Schedules of runs that are alone: while one is queued or in progress, no second one is requested."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from pipelines.market_data.jobs import run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY


def _whole_run() -> dg.RunRequest:
    return dg.RunRequest(run_config=PRINT_WARNINGS_ONLY)


def every(
    name: str, job_name: str, cron_schedule: str, request: Callable[[], dg.RunRequest] = _whole_run
) -> dg.ScheduleDefinition:
    """Make a schedule that is on by default.

    Args:
        name: The schedule's name.
        job_name: The job to run.
        cron_schedule: When, in UTC.
        request: Makes the request for a run.
    """

    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if run_id := run_under_way(context.instance, job_name):
            return dg.SkipReason(f"Run {run_id} is still in progress.")
        return request()

    return dg.ScheduleDefinition(
        name=name,
        job_name=job_name,
        cron_schedule=cron_schedule,
        execution_fn=tick,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
