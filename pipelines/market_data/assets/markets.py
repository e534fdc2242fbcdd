"""The asset ``markets``: the exchanges' lists of markets."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

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
    """Every market of every exchange, with its native name, status, precision and 24-hour volume.

    A market that left its exchange's list is kept as delisted until it is listed again. An exchange that
    does not answer keeps its last list and causes a warning; the run fails only when all exchanges do.
    """
    lists = asyncio.run(_collect_instruments(coinwatch))
    metadata = lists_metadata(lists)
    for result in lists.values():
        if result.error is not None:
            context.log.warning(f"Kept the last list: {result.error}")
        for warning in result.warnings:
            context.log.warning(warning)
    if all(result.error is not None for result in lists.values()):
        raise dg.Failure("No exchange returned its list of markets.", metadata=metadata, allow_retries=False)
    return dg.MaterializeResult(metadata=metadata)


async def _collect_instruments(coinwatch: Coinwatch) -> dict[str, InstrumentList]:
    # No reserve, because twenty requests an hour do not delay recovery and should not wait for backfills.
    async with coinwatch.warehouse() as conn, coinwatch.exchanges(EXCHANGES, reserve=0) as clients:
        return await collect_instruments(conn, clients.by_exchange)
