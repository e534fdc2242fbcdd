"""Routine collection."""

from __future__ import annotations

import asyncio

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.times import now_us
from pipelines.market_data.jobs import CANDLES_JOB, MARKETS_JOB, run_under_way
from pipelines.market_data.lacking import first_day, uncovered
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY, closed_window, recent_days, run_for_days
from pipelines.resources import Coinwatch

markets_every_hour = dg.ScheduleDefinition(
    name="markets_every_hour",
    job=MARKETS_JOB,
    cron_schedule="17 * * * *",
    run_config=PRINT_WARNINGS_ONLY,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(job=CANDLES_JOB, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def candles_every_5_minutes(
    context: dg.ScheduleEvaluationContext, coinwatch: Coinwatch
) -> dg.RunRequest | dg.SkipReason:
    """Complete today, and with it the recent days that still lack something, in one run."""
    if run_id := run_under_way(context.instance, CANDLES_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still at it.")
    return asyncio.run(_request(coinwatch))


async def _request(coinwatch: Coinwatch) -> dg.RunRequest | dg.SkipReason:
    settings = coinwatch.settings()
    first, today = recent_days(now_us(), settings.history_days, settings.history_start)
    window = closed_window(first, today, now_us())
    if window is None:
        return dg.SkipReason("No minute of the first day is over yet.")
    async with coinwatch.warehouse() as conn:
        lacking = await uncovered(conn, settings.markets, Interval.M1, window)
    since = first_day(lacking)
    if since is None:
        return dg.SkipReason("Every closed minute of the recent days is covered.")
    return run_for_days(since, today)
