"""The assets: one call, metadata out."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import dagster as dg

from coinwatch.times import now_us
from pipelines.fundamentals.checks import METRICS_CHECKS, check_metrics
from pipelines.fundamentals.collect import Collected, Described, collect_metadata, collect_metrics
from pipelines.fundamentals.providers import Left, calls_left, providers
from pipelines.fundamentals.report import described_metadata, metrics_metadata, passes_soon
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch

GROUP = "fundamentals"
OWNERS = ["team:market-data"]
POOL = "coingecko"

_METRICS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("asset_id", "text", "As CoinGecko calls it, bitcoin"),
        dg.TableColumn("ts", "timestamptz", "The hour it was asked in"),
        dg.TableColumn("source", "text", "coingecko, coinmarketcap or defillama"),
        dg.TableColumn("observed_at", "timestamptz", "As old as its source says it is"),
        dg.TableColumn("rank", "integer", "By market cap"),
        *(
            dg.TableColumn(name, "double precision", meaning)
            for name, meaning in {
                "price_usd": "Over the exchanges its source follows",
                "market_cap_usd": "Price times circulating supply",
                "fdv_usd": "Fully diluted valuation",
                "volume_24h_usd": "On the exchanges its source follows",
                "circulating_supply": "In the asset itself",
                "total_supply": "In the asset itself",
                "max_supply": "In the asset itself; null: without a limit, or not known",
                "ath_usd": "All-time high, with ath_at",
                "atl_usd": "All-time low, with atl_at",
                "change_1h": "0.01 is 1 %",
                "change_24h": "0.01 is 1 %",
                "change_7d": "0.01 is 1 %",
                "change_30d": "0.01 is 1 %",
                "tvl_usd": "Value locked; of defillama only",
            }.items()
        ),
    ]
)
_ASSETS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("id", "text", "As CoinGecko calls it, bitcoin"),
        dg.TableColumn("symbol", "text", "The ticker; several assets may have the same"),
        dg.TableColumn("name", "text", "Bitcoin"),
        dg.TableColumn("platforms", "jsonb", "Contract address by platform"),
        dg.TableColumn("categories", "text[]", "What CoinMarketCap files it under"),
        dg.TableColumn("description", "text", "By CoinMarketCap"),
        dg.TableColumn("links", "jsonb", "Lists of URLs by kind"),
        dg.TableColumn("images", "jsonb", "URL by who serves it"),
        dg.TableColumn("launched_on", "date", "Null: not told"),
        dg.TableColumn("cmc_id", "integer", "As CoinMarketCap numbers it"),
        dg.TableColumn("gone_at", "timestamptz", "Since when CoinGecko lists it no more"),
    ]
)


class _Metrics(NamedTuple):
    collected: Collected
    checks: list[dg.AssetCheckResult]
    requests: int
    left: list[Left]


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
    """Price, market cap, rank, supplies and all-time highs of assets, and value locked, hour by hour.

    Of the 250 largest coins and of all that our markets trade, in pages of 250: two or three of
    CoinGecko's 10,000 calls a month each hour, and one request to CoinMarketCap, which is stored
    beside it, and speaks alone while CoinGecko fails. Which asset a base is, is decided here:
    contracts and our own prices decide, COINWATCH_ASSET_IDS overrides. An absurd number is left out
    and named. Data by CoinGecko, CoinMarketCap and DefiLlama.
    """
    run = asyncio.run(_collect_metrics(coinwatch, context))
    yield from run.checks
    metadata = metrics_metadata(run.collected, run.requests, run.left)
    errors = [error for told in run.collected.told.values() for error in told.errors]
    for error in errors:
        context.log.warning(str(error))
    if not run.collected.has_metrics:
        problem = "\n".join(["No source told any metrics.", *map(str, errors)])
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
    """What assets are: name, categories, description, links, platforms, launch and images.

    CoinGecko tells all that only coin by coin, a thousand calls of its 10,000 a month. So it is asked
    for its list of all coins with their contracts, which is one call, and the words, links, launch and
    pictures are CoinMarketCap's, 100 assets a request: of those behind our markets first, then of the
    largest. A coin that is listed no more keeps its row, and the time it went.
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


async def _collect_metadata(coinwatch: Coinwatch) -> tuple[Described, int, list[Left]]:
    async with coinwatch.warehouse() as conn, providers(coinwatch) as (opened, budget):
        described = await collect_metadata(conn, opened, now_us())
        left = await calls_left(conn, coinwatch, opened)
    return described, budget.requests, left
