"""The markets there are."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from datetime import timedelta

import dagster as dg

from pipelines.market_data.collection.lists import InstrumentList, collect_instruments
from pipelines.market_data.report import lists_metadata
from pipelines.market_data.schema import GROUP, MARKETS_COLUMNS, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from sources.exchanges import EXCHANGES


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": MARKETS_COLUMNS, "dagster/table_name": "markets"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6)),
)
def markets(context: dg.AssetExecutionContext, coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Every market of every exchange: its spelling, state, precision and volume of 24 hours.

    A market its exchange lists no more is marked as delisted and kept, until it is listed again. An
    exchange that does not answer is a warning and keeps its last list; all failing is a failure.
    """
    lists = asyncio.run(_collect_instruments(coinwatch))
    metadata = lists_metadata(lists)
    for this in lists.values():
        if this.error is not None:
            context.log.warning(f"Kept the last list: {this.error}")
        for warning in this.warnings:
            context.log.warning(warning)
    if all(this.error is not None for this in lists.values()):
        raise dg.Failure("No exchange gave its list of markets.", metadata=metadata, allow_retries=False)
    return dg.MaterializeResult(metadata=metadata)


async def _collect_instruments(coinwatch: Coinwatch) -> dict[str, InstrumentList]:
    # Twenty requests an hour take nothing from the daemon's recovery, and must not wait for backfills.
    async with coinwatch.warehouse() as conn, coinwatch.exchanges(EXCHANGES, reserve=0) as clients:
        return await collect_instruments(conn, clients.by_exchange)
