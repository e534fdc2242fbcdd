"""What the schedule and the sensor ask for, and when they hold back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from coinwatch.intervals import Interval
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, day_start_us, now_us, utc_day
from coinwatch.windows import Window
from pipelines.definitions import defs
from pipelines.market_data.jobs import CANDLES_JOB
from pipelines.market_data.lacking import LATE_US
from pipelines.market_data.partitions import closed_window, recent_days
from pipelines.market_data.schedules import candles_every_5_minutes
from pipelines.market_data.sensors import fill_at_start
from pipelines.resources import Coinwatch
from warehouse.candles import store
from warehouse.markets import ensure_markets

Conn = psycopg.AsyncConnection[Any]
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture(autouse=True)
def _settings(configure: Callable[..., Settings]) -> None:
    configure(markets="binance:BTC-USDC,coinbase:BTC-EUR")


async def tick_of_schedule(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(instance=instance, resources={"coinwatch": Coinwatch()})
    return await asyncio.to_thread(candles_every_5_minutes, context)  # type: ignore[arg-type]


async def tick_of_sensor(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources={"coinwatch": Coinwatch()})
    return await asyncio.to_thread(fill_at_start, context)  # type: ignore[arg-type]


async def cover(conn: Conn, window: Window) -> None:
    ids = await ensure_markets(conn, dict.fromkeys(Coinwatch().settings().markets, "native"))
    for market_id in ids.values():
        await store(conn, market_id, Interval.M1, [], [window])


def span_of(request: dg.RunRequest | dg.SkipReason) -> tuple[str, str]:
    assert isinstance(request, dg.RunRequest)
    return request.tags[START], request.tags[END]


def reason_of(skip: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(skip, dg.SkipReason)
    assert skip.skip_message is not None
    return skip.skip_message


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    job = defs.resolve_job_def(CANDLES_JOB.name)
    return instance.create_run_for_job(job, status=status).run_id


async def test_at_first_both_ask_for_all_recent_days_in_one_run(instance: dg.DagsterInstance) -> None:
    late = utc_day(now_us() - LATE_US)
    asked_by_sensor = await tick_of_sensor(instance)
    assert span_of(asked_by_sensor) == ((late - timedelta(days=1)).isoformat(), late.isoformat())
    assert isinstance(asked_by_sensor, dg.RunRequest)
    assert asked_by_sensor.job_name == CANDLES_JOB.name

    today = utc_day(now_us())
    asked = await tick_of_schedule(instance)
    assert span_of(asked) == ((today - timedelta(days=1)).isoformat(), today.isoformat())


async def test_days_that_lack_nothing_are_left_out(instance: dg.DagsterInstance, conn: Conn) -> None:
    now = now_us()
    today = utc_day(now)
    await cover(conn, Window(day_start_us(today) - 5 * DAY_US, day_start_us(today)))
    request = await tick_of_schedule(instance)
    if closed_window(today, today, now):  # not so in the first minute of a day
        assert span_of(request) == (today.isoformat(), today.isoformat())


async def test_with_all_covered_the_schedule_says_so(instance: dg.DagsterInstance, conn: Conn) -> None:
    now = Interval.M1.floor(now_us())
    await cover(conn, Window(now - 5 * DAY_US, now))
    assert reason_of(await tick_of_schedule(instance)) == "Every closed minute of the recent days is covered."


async def test_the_newest_minutes_are_the_schedules_business(
    instance: dg.DagsterInstance, conn: Conn
) -> None:
    """The sensor then sees to the first lists of markets, once."""
    now = Interval.M1.floor(now_us())
    await cover(conn, Window(now - 5 * DAY_US, now - 8 * MINUTE_US))
    request = await tick_of_sensor(instance)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "refresh_markets"
    instance.report_runless_asset_event(dg.AssetMaterialization("markets"))
    assert "is covered" in reason_of(await tick_of_sensor(instance))

    await cover(conn, Window(now - 8 * MINUTE_US, now - 7 * MINUTE_US))
    assert isinstance(await tick_of_schedule(instance), dg.RunRequest)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
async def test_nothing_is_asked_while_a_run_is_under_way(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    run_id = add_run(instance, status)
    assert run_id in reason_of(await tick_of_schedule(instance))
    assert run_id in reason_of(await tick_of_sensor(instance))


async def test_what_a_run_just_failed_to_get_is_left_to_the_schedule(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("markets"))
    add_run(instance, dg.DagsterRunStatus.FAILURE)
    assert "asked for a moment ago" in reason_of(await tick_of_sensor(instance))
    assert isinstance(await tick_of_schedule(instance), dg.RunRequest)


NOON = day_start_us(date(2026, 3, 10)) + DAY_US // 2


@pytest.mark.parametrize(
    ("now", "history_days", "expected"),
    [
        (NOON, 1, ("2026-03-09", "2026-03-10")),
        (NOON, 0, ("2026-03-10", "2026-03-10")),
        (NOON, 30, ("2026-03-01", "2026-03-10")),  # not before the start of history
        (day_start_us(date(2026, 2, 1)), 1, ("2026-02-01", "2026-02-01")),  # a clock before that start
    ],
)
def test_recent_days(now: int, history_days: int, expected: tuple[str, str]) -> None:
    first, last = recent_days(now, history_days, date(2026, 3, 1))
    assert (first.isoformat(), last.isoformat()) == expected


def test_a_day_ends_at_its_newest_closed_candle() -> None:
    today = date(2026, 3, 10)
    start = day_start_us(today)
    assert closed_window(today, today, NOON) == Window(start, NOON - MINUTE_US), "the last one is too fresh"
    assert closed_window(today, today, NOON + 30 * SECOND_US) == Window(start, NOON)
    assert closed_window(today, today, start + 89 * SECOND_US) is None
    assert closed_window(today, today, start + 90 * SECOND_US) == Window(start, start + MINUTE_US)
    assert closed_window(today, today, start + 3 * DAY_US) == Window(start, start + DAY_US)
