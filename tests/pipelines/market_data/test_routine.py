"""What the schedule and the sensor of candles request, and when they skip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.intervals import Interval
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from pipelines.definitions import defs
from pipelines.market_data.collection.missing_ranges import LATE_US, day_ranges
from pipelines.market_data.jobs import CANDLES_JOB, GAPS_JOB
from pipelines.market_data.partitions import closed_window, recent_days, run_for_days
from pipelines.market_data.schedules import candles_every_5_minutes
from pipelines.market_data.sensors import fill_gaps
from pipelines.resources import Coinwatch
from warehouse.candles.coverage import want
from warehouse.candles.store import store
from warehouse.markets import ensure_markets, markets_by_id

Conn = psycopg.AsyncConnection[Any]
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture(autouse=True)
def _settings(configure: Callable[..., Settings]) -> None:
    configure(markets="binance:BTC-USDC,coinbase:BTC-EUR")


async def tick_of_schedule(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(instance=instance, resources={"coinwatch": Coinwatch()})
    return await asyncio.to_thread(candles_every_5_minutes, context)  # type: ignore[arg-type]


async def tick_of_sensor(
    instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"coinwatch": Coinwatch()})
    return await asyncio.to_thread(fill_gaps, context)  # type: ignore[arg-type]


async def cover(conn: Conn, window: Window) -> None:
    ids = await ensure_markets(conn, dict.fromkeys(Coinwatch().settings().markets, "native"))
    for market_id in ids.values():
        await store(conn, market_id, Interval.M1, [], [window])


async def uncover(conn: Conn, window: Window) -> None:
    span = (to_datetime(window.start_us), to_datetime(window.end_us))
    await conn.execute(
        "update candle_coverage set covered = covered - tstzmultirange(tstzrange(%s, %s))", span
    )


def span_of(request: dg.RunRequest | dg.SkipReason) -> tuple[str, str]:
    assert isinstance(request, dg.RunRequest)
    return request.tags[START], request.tags[END]


def asked_by(result: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def reason_of(skip: object) -> str:
    assert isinstance(skip, dg.SkipReason)
    assert skip.skip_message is not None
    return skip.skip_message


def add_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> str:
    job = defs.resolve_job_def(CANDLES_JOB.name)
    return instance.create_run_for_job(job, status=status, tags=tags).run_id


async def test_the_first_run_covers_all_recent_days(instance: dg.DagsterInstance) -> None:
    late = utc_day(now_us() - LATE_US)
    [asked] = asked_by(await tick_of_sensor(instance))
    assert span_of(asked) == ((late - timedelta(days=1)).isoformat(), late.isoformat())
    assert asked.job_name == GAPS_JOB.name
    today = utc_day(now_us())
    assert span_of(await tick_of_schedule(instance)) == (
        (today - timedelta(days=1)).isoformat(),
        today.isoformat(),
    )


async def test_complete_days_are_not_requested(instance: dg.DagsterInstance, conn: Conn) -> None:
    now = now_us()
    today = utc_day(now)
    await cover(conn, Window(day_start_us(today) - 5 * DAY_US, day_start_us(today)))
    request = await tick_of_schedule(instance)
    if closed_window(today, today, now):  # not so in the first minute of a day
        assert span_of(request) == (today.isoformat(), today.isoformat())


async def test_the_schedule_skips_when_all_is_covered(instance: dg.DagsterInstance, conn: Conn) -> None:
    now = Interval.M1.floor(now_us())
    await cover(conn, Window(now - 5 * DAY_US, now))
    assert reason_of(await tick_of_schedule(instance)) == "Every closed minute of today is covered."


async def test_the_sensor_ignores_the_newest_minutes(instance: dg.DagsterInstance, conn: Conn) -> None:
    """The sensor then sees to the first lists of markets, once."""
    now = Interval.M1.floor(now_us())
    await cover(conn, Window(now - 5 * DAY_US, now - 8 * MINUTE_US))
    [request] = asked_by(await tick_of_sensor(instance))
    assert request.job_name == "refresh_markets"
    instance.report_runless_asset_event(dg.AssetMaterialization("markets"))
    assert reason_of(await tick_of_sensor(instance)) == "No candles are missing."

    await cover(conn, Window(now - 8 * MINUTE_US, now - 7 * MINUTE_US))
    assert isinstance(await tick_of_schedule(instance), dg.RunRequest)


async def test_missing_days_are_requested_in_ranges(instance: dg.DagsterInstance, conn: Conn) -> None:
    """Days once requested stay wanted."""
    today = day_start_us(utc_day(now_us()))
    await cover(conn, Window(today - 90 * DAY_US, today + DAY_US))
    ids = await markets_by_id(conn)
    await want(conn, ids, Window(today - 80 * DAY_US, today))
    for days_ago in (3, 4, 5, 60):
        minute_us = today - days_ago * DAY_US + 700 * MINUTE_US
        await uncover(conn, Window(minute_us, minute_us + MINUTE_US))
    await uncover(conn, Window(today - 85 * DAY_US, today - 84 * DAY_US))  # not wanted
    asked = [span_of(request) for request in asked_by(await tick_of_sensor(instance))]
    expected = [(5, 3), (60, 60)]
    assert asked == [
        tuple(utc_day(today - days * DAY_US).isoformat() for days in stretch) for stretch in expected
    ]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
async def test_nothing_is_requested_during_a_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    today = utc_day(now_us())
    run_id = add_run(instance, status, dict(run_for_days(today, today).tags))
    assert run_id in reason_of(await tick_of_schedule(instance))
    assert run_id in reason_of(await tick_of_sensor(instance))


async def test_a_backfill_of_old_days_does_not_hold_up_today(instance: dg.DagsterInstance) -> None:
    run_id = add_run(instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": "2026-03-01"})
    assert isinstance(await tick_of_schedule(instance), dg.RunRequest)
    assert run_id in reason_of(await tick_of_sensor(instance)), "its days would be asked for twice"


async def test_unfilled_ranges_wait_and_new_ones_do_not(instance: dg.DagsterInstance, conn: Conn) -> None:
    today = day_start_us(utc_day(now_us()))
    await cover(conn, Window(today - 2 * DAY_US, today + DAY_US))
    await uncover(conn, Window(today - 600 * MINUTE_US, today - 500 * MINUTE_US))
    first = await tick_of_sensor(instance)
    assert isinstance(first, dg.SensorResult)
    assert len(asked_by(first)) == 1
    assert "same missing ranges" in reason_of(await tick_of_sensor(instance, first.cursor))
    await uncover(conn, Window(today - 700 * MINUTE_US, today - 699 * MINUTE_US))
    assert len(asked_by(await tick_of_sensor(instance, first.cursor))) == 1


@given(days=st.sets(st.integers(0, 400)), longest=st.integers(1, 40))
def test_day_ranges_hold_exactly_the_given_days(days: set[int], longest: int) -> None:
    asked = {date(2026, 1, 1) + timedelta(days=day) for day in days}
    ranges = day_ranges(asked, longest)
    covered = [first + timedelta(days=n) for first, last in ranges for n in range((last - first).days + 1)]
    assert sorted(covered) == sorted(asked)
    assert all((last - first).days < longest for first, last in ranges)
    assert ranges == sorted(ranges, reverse=True)


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
