"""The markets there are."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from datetime import timedelta

import dagster as dg

from pipelines.market_data.collect import InstrumentLists, collect_instruments
from pipelines.market_data.report import lists_metadata
from pipelines.market_data.schema import GROUP, MARKETS_COLUMNS, OWNERS
from pipelines.resources import Coinwatch


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    metadata={"dagster/column_schema": MARKETS_COLUMNS, "dagster/table_name": "markets"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6)),
)
def markets(context: dg.AssetExecutionContext, coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Every market that the configured exchanges list, with its spelling, state and precision.

    An exchange that does not answer is a warning and keeps its last list; all failing is a failure.
    """
    lists = asyncio.run(_collect_instruments(coinwatch))
    metadata = lists_metadata(lists)
    for error in lists.errors.values():
        context.log.warning(f"Kept the last list: {error}")
    if not lists.counts:
        raise dg.Failure("No exchange gave its list of markets.", metadata=metadata, allow_retries=False)
    return dg.MaterializeResult(metadata=metadata)


async def _collect_instruments(coinwatch: Coinwatch) -> InstrumentLists:
    names = {market.exchange for market in coinwatch.settings().markets}
    async with coinwatch.warehouse() as conn, coinwatch.exchanges(names) as clients:
        return await collect_instruments(conn, clients.by_exchange)
