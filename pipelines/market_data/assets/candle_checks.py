"""The asset ``candle_checks``: the nightly comparison of candles with the exchanges' own."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from coinwatch.records import Market
from pipelines.market_data.assets.candles import POOL
from pipelines.market_data.collection.active import active_markets
from pipelines.market_data.collection.verify import verify_days
from pipelines.market_data.partitions import DAYS, days_of
from pipelines.market_data.schema import GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from warehouse.candles.checks import DayCheck

SAME_AS_THE_EXCHANGE = "days_are_the_exchanges"
SHOWN = 100

Checks = dict[tuple[Market, date], DayCheck]


@dg.asset(
    deps=["candles_1m"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=7),
    metadata={"dagster/table_name": "candle_checks"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30)),
    check_specs=[
        dg.AssetCheckSpec(
            SAME_AS_THE_EXCHANGE,
            asset="candle_checks",
            description="Our minutes add up to the exchange's own candle of the day: prices within one price "
            "step, volume within 0.1 %.",
        )
    ],
    pool=POOL,
    retry_policy=RETRIES,
)
def candle_checks(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Compare days of candles with the exchange's own candle of the day, and correct differences.

    Longer candles narrow a difference down to hours and minutes, which are fetched again and compared once
    more; remaining differences are listed. An exchange without UTC days is compared by its longest candle
    on our grid.
    """
    checks, errors = asyncio.run(_verify(coinwatch, days_of(context.partition_keys), context))
    for error in errors:
        context.log.warning(f"Postponed: {error}")
    states = Counter(check.state for check in checks.values())
    if not checks and errors:
        raise dg.Failure("No exchange answered.", metadata={"errors": errors[:SHOWN]}, allow_retries=False)
    yield dg.MaterializeResult(
        metadata={
            **{f"days_{state}": states[state] for state in ("same", "repaired", "differs", "incomplete")},
            "minutes_corrected": sum(check.repaired for check in checks.values()),
            "days_postponed": len(errors),
            "differences": dg.MetadataValue.md(_table(checks)),
        }
    )
    yield dg.AssetCheckResult(
        check_name=SAME_AS_THE_EXCHANGE,
        passed=not states["differs"],
        metadata={"days_differing": states["differs"], "days_compared": sum(states.values())},
    )


async def _verify(
    coinwatch: Coinwatch, days: list[date], context: dg.AssetExecutionContext
) -> tuple[Checks, list[str]]:
    async with coinwatch.warehouse() as conn:
        markets = await active_markets(conn, coinwatch.settings())
        async with coinwatch.exchanges(market.exchange for market in markets) as clients:
            return await verify_days(conn, clients.by_exchange, markets, days, log=context.log.info)


def _table(checks: Checks) -> str:
    lines = ["| market | day | state | corrected | remaining differences |", "|---|---|---|---:|---|"]
    for (market, day), check in list(checks.items())[:SHOWN]:
        if check.state != "same":
            left = check.detail.get("after") or check.detail.get("why") or ""
            lines.append(f"| {market} | {day} | {check.state} | {check.repaired} | {str(left)[:200]} |")
    return "\n".join(lines)
