"""Collection out of turn."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.times import now_us
from pipelines.market_data.assets import markets
from pipelines.market_data.jobs import CANDLES_JOB, MARKETS_JOB, ran_within, run_under_way
from pipelines.market_data.lacking import LATE_US, first_day, uncovered
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY, closed_window, recent_days, run_for_days
from pipelines.resources import Coinwatch

_SCHEDULE_PERIOD = timedelta(minutes=5)


@dg.sensor(
    jobs=[CANDLES_JOB, MARKETS_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def fill_at_start(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.RunRequest | dg.SkipReason:
    """Fill what was missed while nothing ran, at once instead of at the schedule's next tick.

    Where a run has just been, it stays away: what that run could not get, the schedule tries again.
    """
    if run_id := run_under_way(context.instance, CANDLES_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still at it.")
    if ran_within(context.instance, CANDLES_JOB.name, _SCHEDULE_PERIOD):
        return _first_lists(context)
    since, today = asyncio.run(_lacking(coinwatch))
    if since is None:
        return _first_lists(context)
    return run_for_days(since, today, job_name=CANDLES_JOB.name)


async def _lacking(coinwatch: Coinwatch) -> tuple[date | None, date]:
    settings = coinwatch.settings()
    late_us = now_us() - LATE_US
    first, today = recent_days(late_us, settings.history_days, settings.history_start)
    window = closed_window(first, today, late_us)
    if window is None:
        return None, today
    async with coinwatch.warehouse() as conn:
        lacking = await uncovered(conn, settings.markets, Interval.M1, window)
    return first_day(lacking), today


def _first_lists(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """The first lists of markets, once the candles that people wait for are there."""
    if context.instance.get_latest_materialization_event(markets.key):
        return dg.SkipReason("Every minute of the recent days is covered, or was asked for a moment ago.")
    return dg.RunRequest(run_key="first lists", job_name=MARKETS_JOB.name, run_config=PRINT_WARNINGS_ONLY)
