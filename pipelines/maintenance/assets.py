"""The assets of the group ``maintenance``."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from coinwatch.times import now_us, utc_day
from pipelines.instance.files import folder
from pipelines.maintenance.operations import DagsterPruned, make_partitions, prune_dagster
from pipelines.maintenance.report import dagster_metadata, rows_metadata, ticks_metadata, warning
from pipelines.resources import APPLICATION, Coinwatch
from warehouse.db.connect import database_url, session
from warehouse.db.partitions import absent
from warehouse.ops import retention
from warehouse.ops.dagster import DAGSTER_DATABASE

GROUP = "maintenance"
OWNERS = ["team:platform"]
KINDS = {"postgres", "python"}
RETRY_LOCKS = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL)
"""Retries for locks that were not granted, and for outages of Postgres."""
DAILY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50))

PARTITIONS_FOR_TOMORROW = dg.AssetCheckSpec(
    "partitions_for_tomorrow",
    asset="partitions_ahead",
    description="The partitions of tomorrow's trades, averages, candles and indicators exist.",
)
CANDLES_BEFORE_DROPPING = dg.AssetCheckSpec(
    "candles_before_dropping",
    asset="tick_retention",
    description="No day of ticks exceeds the limits because its candles are unverified, and none was dropped "
    "with unverified candles.",
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds=KINDS,
    retry_policy=RETRY_LOCKS,
    check_specs=[PARTITIONS_FOR_TOMORROW],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6)),
)
def partitions_ahead(coinwatch: Coinwatch) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Create the partitions of the coming days and month, ahead of midnight."""
    days, missing = asyncio.run(_make_partitions(coinwatch))
    yield dg.MaterializeResult(metadata={"first_day": days[0].isoformat(), "last_day": days[-1].isoformat()})
    yield dg.AssetCheckResult(
        check_name=PARTITIONS_FOR_TOMORROW.name,
        asset_key=PARTITIONS_FOR_TOMORROW.asset_key,
        passed=not missing,
        metadata={"absent": ", ".join(missing)},
    )


async def _make_partitions(coinwatch: Coinwatch) -> tuple[list[date], list[str]]:
    today = utc_day(now_us())
    async with coinwatch.warehouse() as conn:
        days = await make_partitions(conn, today)
        return days, await absent(conn, today + timedelta(days=1))


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds=KINDS,
    retry_policy=RETRY_LOCKS,
    check_specs=[CANDLES_BEFORE_DROPPING],
    freshness_policy=DAILY_FRESHNESS,
)
def tick_retention(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Drop whole days of trades, oldest first, to stay within the limits of age and size.

    A day is dropped only after every minute of it is verified in candle_coverage for every market that
    traded, or when the size limit is exceeded by half, because a full disk stops everything.
    """
    settings = coinwatch.settings()
    limits = settings.ticks_keep_days, settings.ticks_keep_gb
    drops, stored = asyncio.run(_drop_ticks(coinwatch, *limits))
    problem = warning(drops)
    if problem:
        context.log.warning(problem)
    yield dg.MaterializeResult(metadata=ticks_metadata(drops, stored, limits))
    yield dg.AssetCheckResult(
        check_name=CANDLES_BEFORE_DROPPING.name,
        asset_key=CANDLES_BEFORE_DROPPING.asset_key,
        passed=problem is None,
        severity=dg.AssetCheckSeverity.ERROR if drops.lost else dg.AssetCheckSeverity.WARN,
        metadata={"problem": problem or ""},
    )


async def _drop_ticks(
    coinwatch: Coinwatch, keep_days: int, keep_gb: float
) -> tuple[retention.TickDrops, list[retention.PartitionDay]]:
    async with coinwatch.warehouse() as conn:
        drops = await retention.drop_ticks(conn, utc_day(now_us()), keep_days, round(keep_gb * 1e9))
        return drops, await retention.tick_days(conn)


@dg.asset(
    deps=[tick_retention],
    group_name=GROUP,
    owners=OWNERS,
    kinds=KINDS,
    retry_policy=RETRY_LOCKS,
    freshness_policy=DAILY_FRESHNESS,
)
def history_retention(coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Keep averages for 400 days, alerts and closed stream gaps for 90, rejected trades for 30.

    Rows of streams without trades for 30 days and of processes gone for 7 days are deleted as well.
    """
    deleted, average_days = asyncio.run(_delete_history(coinwatch))
    return dg.MaterializeResult(metadata=rows_metadata(deleted, average_days))


async def _delete_history(coinwatch: Coinwatch) -> tuple[dict[str, int], list[retention.PartitionDay]]:
    async with coinwatch.warehouse() as conn:
        average_days = await retention.drop_averages(conn, utc_day(now_us()))
        return await retention.delete_old_rows(conn, datetime.now(UTC)), average_days


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds=KINDS,
    retry_policy=RETRY_LOCKS,
    freshness_policy=DAILY_FRESHNESS,
)
def dagster_retention(context: dg.AssetExecutionContext, coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Prune Dagster's own events, runs, step logs and artifacts, but not the state of assets.

    Events of runs are kept for 7 days; superseded materialisations and unreferenced runs for 30; partition
    status, latest materialisations and check results forever.
    """
    pruned = asyncio.run(_prune_dagster(coinwatch, context.instance))
    return dg.MaterializeResult(metadata=dagster_metadata(pruned))


async def _prune_dagster(coinwatch: Coinwatch, instance: dg.DagsterInstance) -> DagsterPruned:
    url = database_url(coinwatch.settings(), DAGSTER_DATABASE)
    async with session(url, application_name=APPLICATION) as conn:
        return await prune_dagster(conn, instance, folder(), datetime.now(UTC))


@dg.asset(
    deps=[history_retention],
    group_name=GROUP,
    owners=OWNERS,
    kinds=KINDS,
    freshness_policy=DAILY_FRESHNESS,
)
def table_statistics(coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Vacuum and analyze the tables for which autovacuum is too late or never runs."""
    asyncio.run(_vacuum(coinwatch))
    return dg.MaterializeResult(
        metadata={"vacuumed": ", ".join(retention.VACUUMED), "analyzed": ", ".join(retention.ANALYZED)}
    )


async def _vacuum(coinwatch: Coinwatch) -> None:
    async with coinwatch.warehouse() as conn:
        await retention.vacuum(conn)
