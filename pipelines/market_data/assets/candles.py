"""The asset ``candles_1m``: one-minute candles by UTC day."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from coinwatch.times import DAY_US, day_start_us, now_us
from coinwatch.windows import Window
from pipelines.market_data.assets.markets import markets
from pipelines.market_data.checks import RECENT_COVERAGE, recent_coverage
from pipelines.market_data.collection.active import active_markets
from pipelines.market_data.collection.collect import Fill, collect_candles
from pipelines.market_data.partitions import DAYS, closed_window, days_of
from pipelines.market_data.report import failure, fill_metadata
from pipelines.market_data.schema import CANDLES_COLUMNS, GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch

POOL = "exchanges"
"""The pool of runs that send requests to exchanges; the shared budgets limit the rate of requests."""


@dg.asset(
    deps=[markets],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=7),
    metadata={"dagster/column_schema": CANDLES_COLUMNS, "dagster/table_name": "candles"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=15), fail_window=timedelta(hours=1)
    ),
    check_specs=[RECENT_COVERAGE],
    retry_policy=RETRIES,
    pool=POOL,
)
def candles_1m(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """One-minute candles as published by the exchanges, by UTC day.

    Materialising a day completes it for every active market. Only missing ranges are requested; a minute
    without trades is covered and has no candle; the open minute is not stored. A market that fails is
    reported and does not affect the others. Periods an exchange no longer serves are recorded as
    unavailable, rebuilt from stored trades when those are complete, and not requested again.
    """
    days = days_of(context.partition_keys)
    window = closed_window(days[0], days[-1], now_us())
    if window is None:
        yield dg.MaterializeResult(metadata={"reason": "No minute of the day is closed yet."})
        yield asyncio.run(recent_coverage(coinwatch))
        return
    fill, requests = asyncio.run(_collect_candles(coinwatch, window, context))
    yield asyncio.run(recent_coverage(coinwatch))
    metadata = fill_metadata(fill, requests)
    if problem := failure(fill):
        for day in _complete(days, fill):
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=day, metadata=metadata))
        raise dg.Failure(problem, metadata=metadata, allow_retries=False)
    yield dg.MaterializeResult(metadata=metadata)


async def _collect_candles(
    coinwatch: Coinwatch, window: Window, context: dg.AssetExecutionContext
) -> tuple[Fill, int]:
    async with coinwatch.warehouse() as conn:
        active = await active_markets(conn, coinwatch.settings())
        async with coinwatch.exchanges(market.exchange for market in active) as clients:
            fill = await collect_candles(conn, clients.by_exchange, active, window, log=context.log.info)
    return fill, clients.budget.requests


def _complete(days: list[date], fill: Fill) -> Iterator[str]:
    """The partitions that are complete although the run fails."""
    missing = [window for market in fill.markets for window in market.still_missing]
    for day in days:
        whole = Window(day_start_us(day), day_start_us(day) + DAY_US)
        if not any(whole.intersect(window) for window in missing):
            yield day.isoformat()
