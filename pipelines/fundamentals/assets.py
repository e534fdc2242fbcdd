"""The assets of the group ``fundamentals``."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import dagster as dg

from coinwatch.times import now_us
from pipelines.fundamentals.checks import METRICS_CHECKS, check_metrics
from pipelines.fundamentals.collect import Collected, Described, collect_metadata, collect_metrics
from pipelines.fundamentals.providers import CallsLeft, calls_left, providers
from pipelines.fundamentals.report import described_metadata, metrics_metadata, passes_soon
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch

GROUP = "fundamentals"
OWNERS = ["team:market-data"]
POOL = "coingecko"

_METRICS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("asset_id", "text", "CoinGecko's id, such as bitcoin"),
        dg.TableColumn("ts", "timestamptz", "The hour of collection"),
        dg.TableColumn("source", "text", "coingecko, coinmarketcap or defillama"),
        dg.TableColumn("observed_at", "timestamptz", "When the source updated the metrics"),
        dg.TableColumn("rank", "integer", "By market cap"),
        *(
            dg.TableColumn(name, "double precision", meaning)
            for name, meaning in {
                "price_usd": "Averaged over the exchanges that the source follows",
                "market_cap_usd": "Price times circulating supply",
                "fdv_usd": "Fully diluted valuation",
                "volume_24h_usd": "On the exchanges that the source follows",
                "circulating_supply": "In the asset itself",
                "total_supply": "In the asset itself",
                "max_supply": "In the asset itself; null when unlimited or unknown",
                "ath_usd": "All-time high; ath_at has its time",
                "atl_usd": "All-time low; atl_at has its time",
                "change_1h": "0.01 is 1 %",
                "change_24h": "0.01 is 1 %",
                "change_7d": "0.01 is 1 %",
                "change_30d": "0.01 is 1 %",
                "tvl_usd": "Total value locked; only from defillama",
            }.items()
        ),
    ]
)
_ASSETS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("id", "text", "CoinGecko's id, such as bitcoin"),
        dg.TableColumn("symbol", "text", "The ticker, which assets may share"),
        dg.TableColumn("name", "text", "Such as Bitcoin"),
        dg.TableColumn("platforms", "jsonb", "Contract address by platform"),
        dg.TableColumn("categories", "text[]", "CoinMarketCap's categories"),
        dg.TableColumn("description", "text", "CoinMarketCap's description"),
        dg.TableColumn("links", "jsonb", "Lists of URLs by kind"),
        dg.TableColumn("images", "jsonb", "Image URL by provider"),
        dg.TableColumn("launched_on", "date", "Null when unknown"),
        dg.TableColumn("cmc_id", "integer", "CoinMarketCap's id"),
        dg.TableColumn("gone_at", "timestamptz", "When CoinGecko removed it from its list"),
    ]
)


class _Metrics(NamedTuple):
    collected: Collected
    checks: list[dg.AssetCheckResult]
    requests: int
    left: list[CallsLeft]


@dg.asset(
    deps=["markets", "candles_1m"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    pool=POOL,
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": _METRICS_COLUMNS, "dagster/table_name": "asset_metrics"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(hours=2), fail_window=timedelta(hours=6)
    ),
    check_specs=METRICS_CHECKS,
)
def asset_metrics(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Hourly price, market cap, rank, supply, all-time high and low, and value locked of assets.

    Covers the 250 largest coins and all coins of our markets, in pages of 250: two or three of
    CoinGecko's 10,000 monthly calls an hour, and one request to CoinMarketCap, whose metrics are stored
    as a second source and replace CoinGecko's while that fails. The asset also maps each base of our
    markets to a coin, by contract address and by our own prices; COINWATCH_ASSET_IDS overrides the
    mapping. Implausible values are dropped and listed. Data by CoinGecko, CoinMarketCap and DefiLlama.
    """
    run = asyncio.run(_collect_metrics(coinwatch, context))
    yield from run.checks
    metadata = metrics_metadata(run.collected, run.requests, run.left)
    errors = [error for result in run.collected.results.values() for error in result.errors]
    for error in errors:
        context.log.warning(str(error))
    if not run.collected.has_metrics:
        problem = "\n".join(["No source returned metrics.", *map(str, errors)])
        raise dg.Failure(problem, metadata=metadata, allow_retries=passes_soon(errors))
    yield dg.MaterializeResult(metadata=metadata)


async def _collect_metrics(coinwatch: Coinwatch, context: dg.AssetExecutionContext) -> _Metrics:
    settings = coinwatch.settings()
    bases = {market.symbol.base for market in (*settings.markets, *settings.polled_markets)}
    now = now_us()
    async with coinwatch.warehouse() as conn, providers(coinwatch) as (opened, budget):
        collected = await collect_metrics(
            conn, opened, bases, dict(settings.asset_ids), now, log=context.log.info
        )
        checks = await check_metrics(conn, collected, now)
        left = await calls_left(conn, coinwatch, opened)
    return _Metrics(collected, checks, budget.requests, left)


@dg.asset(
    deps=[asset_metrics],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    pool=POOL,
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": _ASSETS_COLUMNS, "dagster/table_name": "assets"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(days=8), fail_window=timedelta(days=15)
    ),
)
def asset_metadata(context: dg.AssetExecutionContext, coinwatch: Coinwatch) -> dg.MaterializeResult[None]:
    """Weekly name, categories, description, links, platforms, launch date and images of assets.

    CoinGecko provides the list of all coins with their contracts in one call. Descriptions, links, launch
    dates and logos come from CoinMarketCap, 100 assets a request, first for the assets of our markets and
    then for the largest; CoinGecko would need a call per coin. A coin removed from the list keeps its row,
    with the time of removal.
    """
    described, requests, left = asyncio.run(_collect_metadata(coinwatch))
    metadata = described_metadata(described, requests, left)
    for error in described.errors:
        context.log.warning(str(error))
    if described.errors and not (described.listed and described.described):
        problem = "\n".join(
            ["The list of coins or their descriptions are missing.", *map(str, described.errors)]
        )
        raise dg.Failure(problem, metadata=metadata, allow_retries=passes_soon(described.errors))
    return dg.MaterializeResult(metadata=metadata)


async def _collect_metadata(coinwatch: Coinwatch) -> tuple[Described, int, list[CallsLeft]]:
    async with coinwatch.warehouse() as conn, providers(coinwatch) as (opened, budget):
        described = await collect_metadata(conn, opened, now_us())
        left = await calls_left(conn, coinwatch, opened)
    return described, budget.requests, left
