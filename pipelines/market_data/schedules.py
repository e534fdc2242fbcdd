"""Schedules of market data."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import dagster as dg

from coinwatch.times import now_us, utc_day
from pipelines.market_data.collection.active import want_active
from pipelines.market_data.collection.missing_ranges import days_in, missing_in
from pipelines.market_data.jobs import CANDLES_JOB, CHECKS_JOB, MARKETS_JOB, REPORT_JOB, collecting
from pipelines.market_data.partitions import closed_window, run_for_days
from pipelines.resources import Coinwatch
from pipelines.schedules import every

markets_every_hour = every("markets_every_hour", MARKETS_JOB.name, "17 * * * *")

gap_report_every_hour = every("gap_report_every_hour", REPORT_JOB.name, "23 * * * *")


@dg.schedule(job=CANDLES_JOB, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def candles_every_5_minutes(
    context: dg.ScheduleEvaluationContext, coinwatch: Coinwatch
) -> dg.RunRequest | dg.SkipReason:
    """Complete today, and yesterday while a range of it is missing. ``fill_gaps`` fills older days."""
    today = utc_day(now_us())
    if run_id := collecting(context.instance, day=today.isoformat()):
        return dg.SkipReason(f"Run {run_id} is still in progress.")
    return asyncio.run(_request(coinwatch))


async def _request(coinwatch: Coinwatch) -> dg.RunRequest | dg.SkipReason:
    settings, now = coinwatch.settings(), now_us()
    today = utc_day(now)
    window = closed_window(max(today - timedelta(days=1), min(today, settings.history_start)), today, now)
    if window is None:
        return dg.SkipReason("No minute of the first day is closed yet.")
    async with coinwatch.warehouse() as conn:
        missing = await missing_in(conn, window, await want_active(conn, settings))
    days = days_in(window for windows in missing.values() for window in windows)
    if not days:
        return dg.SkipReason("Every closed minute of today is covered.")
    return run_for_days(min(days), today)


def _nights() -> dg.RunRequest:
    """Yesterday, and the day before it again, which may have been incomplete last night."""
    yesterday = utc_day(now_us()) - timedelta(days=1)
    return run_for_days(yesterday - timedelta(days=1), yesterday)


candle_checks_every_night = every("candle_checks_every_night", CHECKS_JOB.name, "40 0 * * *", _nights)
