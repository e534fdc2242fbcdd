"""Sensors of market data: filling missing ranges of any day, and rollups after changes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import msgspec

from coinwatch.records import Market
from coinwatch.windows import Window
from pipelines.market_data.assets.markets import markets
from pipelines.market_data.collection.active import want_active
from pipelines.market_data.collection.missing_ranges import day_ranges, days_in, missing_ranges
from pipelines.market_data.jobs import GAPS_JOB, MARKETS_JOB, ROLLUPS_JOB, collecting, run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY, run_for_days
from pipelines.resources import Coinwatch
from warehouse.candles.rollups import rollups_due

DAYS_A_RUN = 31
RUNS_AT_ONCE = 2
RETRY_AFTER = timedelta(minutes=5)
"""The same missing ranges are not requested again any sooner."""


class Requested(msgspec.Struct, frozen=True):
    """The sensor's cursor: the missing ranges it last requested."""

    at: datetime
    gaps: str
    """A digest of the ranges."""


@dg.sensor(
    jobs=[GAPS_JOB, MARKETS_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def fill_gaps(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.SensorResult | dg.SkipReason:
    """Materialise days with missing ranges: at the first start, after an outage, or after coverage was
    revoked. The schedule collects the newest minutes.
    """
    if run_id := collecting(context.instance):
        return dg.SkipReason(f"Run {run_id} is collecting candles.")
    missing = asyncio.run(_missing_ranges(coinwatch))
    if not missing:
        return _first_lists(context)
    digest, now = _digest(missing), datetime.now(UTC)
    previous = msgspec.json.decode(context.cursor, type=Requested) if context.cursor else None
    if previous and previous.gaps == digest and now - previous.at < RETRY_AFTER:
        return dg.SkipReason(
            f"The same missing ranges of {len(missing)} markets were requested {now - previous.at} ago."
        )
    days = days_in(window for windows in missing.values() for window in windows)
    requests = [
        run_for_days(first, last, job_name=GAPS_JOB.name)
        for first, last in day_ranges(days, DAYS_A_RUN)[:RUNS_AT_ONCE]
    ]
    return dg.SensorResult(run_requests=requests, cursor=msgspec.json.encode(Requested(now, digest)).decode())


def _digest(missing: Mapping[Market, list[Window]]) -> str:
    spans = [
        (str(market), [(window.start_us, window.end_us) for window in windows])
        for market, windows in missing.items()
    ]
    return hashlib.sha256(msgspec.json.encode(spans)).hexdigest()


async def _missing_ranges(coinwatch: Coinwatch) -> Mapping[Market, list[Window]]:
    async with coinwatch.warehouse() as conn:
        await want_active(conn, coinwatch.settings())
        return await missing_ranges(conn)


def _first_lists(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request the first lists of markets, after the candles, which are more urgent."""
    if context.instance.get_latest_materialization_event(markets.key):
        return dg.SkipReason("No candles are missing.")
    first = dg.RunRequest(run_key="first lists", job_name=MARKETS_JOB.name, run_config=PRINT_WARNINGS_ONLY)
    return dg.SensorResult(run_requests=[first])


@dg.sensor(job=ROLLUPS_JOB, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def roll_up_when_due(
    context: dg.SensorEvaluationContext, coinwatch: Coinwatch
) -> dg.RunRequest | dg.SkipReason:
    """Roll up as soon as minutes of closed intervals have changed, including those of backfills."""
    if run_id := run_under_way(context.instance, ROLLUPS_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still in progress.")
    if not asyncio.run(_due(coinwatch)):
        return dg.SkipReason("Every rollup is up to date.")
    return dg.RunRequest(run_config=PRINT_WARNINGS_ONLY)


async def _due(coinwatch: Coinwatch) -> int:
    async with coinwatch.warehouse() as conn:
        return await rollups_due(conn)
