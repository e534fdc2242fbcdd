"""Daily partitions, and the windows of closed candles in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.settings import process_settings
from coinwatch.times import SECOND_US, day_start_us, utc_day
from coinwatch.windows import Window
from pipelines.run_tags import partition_range_tags

CLOSING_GRACE_US = 30 * SECOND_US
"""How long after its end a candle is requested: exchanges publish the last one late, and a minute recorded
as empty too early would be an undetected gap."""

DAYS = dg.DailyPartitionsDefinition(
    start_date=process_settings().history_start.isoformat(),
    end_offset=1,  # includes today
)

PRINT_WARNINGS_ONLY = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
"""Run config of scheduled runs: the run's page has every log line, the terminal only warnings."""


def days_of(partition_keys: Sequence[str]) -> list[date]:
    """The days of partition keys, in order."""
    return sorted(date.fromisoformat(key) for key in partition_keys)


def closed_until_us(now_us: int, interval: Interval = Interval.M1) -> int:
    """The end of the newest candle that is closed for at least CLOSING_GRACE_US at ``now_us``."""
    return interval.floor(now_us - CLOSING_GRACE_US)


def closed_window(first: date, last: date, now_us: int) -> Window | None:
    """From the start of ``first`` to the end of ``last`` or the newest closed candle; None when empty."""
    start_us = day_start_us(first)
    end_us = min(day_start_us(last + timedelta(days=1)), closed_until_us(now_us))
    return Window(start_us, end_us) if start_us < end_us else None


def recent_days(now_us: int, history_days: int, history_start: date) -> tuple[date, date]:
    """The first and last day that are collected routinely: today and ``history_days`` before it."""
    today = utc_day(now_us)
    return min(today, max(history_start, today - timedelta(days=history_days))), today


def run_for_days(first: date, last: date, job_name: str | None = None) -> dg.RunRequest:
    """The request for one run over all days from ``first`` to ``last``."""
    return dg.RunRequest(
        job_name=job_name,
        run_config=PRINT_WARNINGS_ONLY,
        tags=partition_range_tags(first.isoformat(), last.isoformat()),
    )
