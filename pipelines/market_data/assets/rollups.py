"""Candles of 5m and longer."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from datetime import timedelta

import dagster as dg

from coinwatch.intervals import Interval
from pipelines.market_data.schema import CANDLES_COLUMNS, GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from warehouse.candles.rollups import ROLLUPS, RolledUp, roll_up


@dg.asset(
    deps=["candles_1m"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "sql"},
    metadata={"dagster/column_schema": CANDLES_COLUMNS, "dagster/table_name": "candles"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=30), fail_window=timedelta(hours=2)
    ),
    retry_policy=RETRIES,
)
def rollups(context: dg.AssetExecutionContext, coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Candles of 5m, 15m, 1h, 4h and 1d, made in SQL of the one-minute ones.

    Only those whose minutes changed since are made again, once their interval is over; a late or
    corrected minute gives its rollups a new revision. They are the same whatever the order of arrival.
    """
    done = asyncio.run(_roll_up(coinwatch))
    lines = ["| interval | made | revised | deleted |", "|---|---:|---:|---:|"]
    lines += [
        f"| {interval} | {one.made:,} | {one.revised:,} | {one.deleted:,} |" for interval, one in done.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "candles_made": sum(one.made for one in done.values()),
            "candles_revised": sum(one.revised for one in done.values()),
            "candles_deleted": sum(one.deleted for one in done.values()),
            "by_interval": dg.MetadataValue.md("\n".join(lines)),
        }
    )


async def _roll_up(coinwatch: Coinwatch) -> dict[Interval, RolledUp]:
    async with coinwatch.warehouse() as conn:
        return {interval: await roll_up(conn, interval) for interval in ROLLUPS}
