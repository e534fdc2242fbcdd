"""Work out of turn: gaps of any day, and rollups whenever minutes have changed."""

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
from pipelines.market_data.collection.missing_ranges import days_in, gaps_by_market, stretches
from pipelines.market_data.jobs import GAPS_JOB, MARKETS_JOB, ROLLUPS_JOB, collecting, run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY, run_for_days
from pipelines.resources import Coinwatch
from warehouse.candles.rollups import rollups_due

DAYS_A_RUN = 31
RUNS_AT_ONCE = 2
ASK_AGAIN_AFTER = timedelta(minutes=5)
"""What a run could not get is not asked for again any sooner."""


class Asked(msgspec.Struct, frozen=True):
    """The sensor's memory: which gaps it asked to fill, and when."""

    at: datetime
    gaps: str
    """A digest of them."""


@dg.sensor(
    jobs=[GAPS_JOB, MARKETS_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def fill_gaps(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.SensorResult | dg.SkipReason:
    """Materialise the days of which something wanted is missing: at the first start, after an outage, or
    when coverage was taken back. The newest minutes are the schedule's business.
    """
    if run_id := collecting(context.instance):
        return dg.SkipReason(f"Run {run_id} collects candles.")
    gaps = asyncio.run(_gaps(coinwatch))
    if not gaps:
        return _first_lists(context)
    signature, now = _signature(gaps), datetime.now(UTC)
    asked = msgspec.json.decode(context.cursor, type=Asked) if context.cursor else None
    if asked and asked.gaps == signature and now - asked.at < ASK_AGAIN_AFTER:
        return dg.SkipReason(f"The same gaps on {len(gaps)} markets were asked for {now - asked.at} ago.")
    days = days_in(hole for holes in gaps.values() for hole in holes)
    requests = [
        run_for_days(first, last, job_name=GAPS_JOB.name)
        for first, last in stretches(days, DAYS_A_RUN)[:RUNS_AT_ONCE]
    ]
    return dg.SensorResult(run_requests=requests, cursor=msgspec.json.encode(Asked(now, signature)).decode())


def _signature(gaps: Mapping[Market, list[Window]]) -> str:
    spans = [
        (str(market), [(hole.start_us, hole.end_us) for hole in holes]) for market, holes in gaps.items()
    ]
    return hashlib.sha256(msgspec.json.encode(spans)).hexdigest()


async def _gaps(coinwatch: Coinwatch) -> Mapping[Market, list[Window]]:
    async with coinwatch.warehouse() as conn:
        await want_active(conn, coinwatch.settings())
        return await gaps_by_market(conn)


def _first_lists(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """The first lists of markets, once the candles that people wait for are there."""
    if context.instance.get_latest_materialization_event(markets.key):
        return dg.SkipReason("Nothing that is wanted is missing.")
    first = dg.RunRequest(run_key="first lists", job_name=MARKETS_JOB.name, run_config=PRINT_WARNINGS_ONLY)
    return dg.SensorResult(run_requests=[first])


@dg.sensor(job=ROLLUPS_JOB, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def roll_up_when_due(
    context: dg.SensorEvaluationContext, coinwatch: Coinwatch
) -> dg.RunRequest | dg.SkipReason:
    """Roll up as soon as minutes of an interval that is over have changed, a backfill of years ago too."""
    if run_id := run_under_way(context.instance, ROLLUPS_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still at it.")
    waiting = asyncio.run(_due(coinwatch))
    if not waiting:
        return dg.SkipReason("Every rollup is up to date.")
    return dg.RunRequest(run_config=PRINT_WARNINGS_ONLY)


async def _due(coinwatch: Coinwatch) -> int:
    async with coinwatch.warehouse() as conn:
        return await rollups_due(conn)
