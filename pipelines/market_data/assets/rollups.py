"""The asset ``rollups``: candles of 5m and longer."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

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
    """Candles of 5m, 15m, 1h, 4h and 1d, rolled up in SQL from one-minute candles.

    Only candles whose minutes changed are rebuilt, after their interval has closed; a late or corrected
    minute increases the revision of its rollups. The result is independent of the order of arrival.
    """
    done = asyncio.run(_roll_up(coinwatch))
    lines = ["| interval | made | revised | deleted |", "|---|---:|---:|---:|"]
    lines += [
        f"| {interval} | {counts.made:,} | {counts.revised:,} | {counts.deleted:,} |"
        for interval, counts in done.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "candles_made": sum(counts.made for counts in done.values()),
            "candles_revised": sum(counts.revised for counts in done.values()),
            "candles_deleted": sum(counts.deleted for counts in done.values()),
            "by_interval": dg.MetadataValue.md("\n".join(lines)),
        }
    )


async def _roll_up(coinwatch: Coinwatch) -> dict[Interval, RolledUp]:
    async with coinwatch.warehouse() as conn:
        return {interval: await roll_up(conn, interval) for interval in ROLLUPS}
