"""The assets of the group ``sentiment``."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import dagster as dg

from coinwatch.errors import SourceError
from coinwatch.sentiment.mentions import Mentions
from coinwatch.sentiment.scoring import DayScore
from coinwatch.settings import Settings
from coinwatch.times import now_us
from pipelines.fundamentals.report import passes_soon
from pipelines.market_data.partitions import DAYS, days_of
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from pipelines.sentiment.checks import FEEDS_READ, SCORES_CHECKS, check_feeds, check_scores
from pipelines.sentiment.clients import score_clients, text_clients
from pipelines.sentiment.collect import Collected, collect_scores, wanted_assets
from pipelines.sentiment.report import scores_metadata, texts_metadata
from pipelines.sentiment.texts import FeedResult, collect_texts, rescore
from sources.providers.credentials import not_configured
from warehouse.sentiment.store import Mentioned, asset_ids, named_assets, newest_texts, scores_between

GROUP = "sentiment"
OWNERS = ["team:market-data"]
NEWEST_SHOWN = 20

_NEWS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("url", "text", "The text's address"),
        dg.TableColumn("source", "text", "news, reddit or telegram"),
        dg.TableColumn("outlet", "text", "The feed, subreddit or channel"),
        dg.TableColumn("published_at", "timestamptz", "By the feed, subreddit or channel"),
        dg.TableColumn("title", "text", "The headline, or the beginning of a message"),
        dg.TableColumn("score", "double precision", "From -1 to 1"),
        dg.TableColumn("model", "text", "The model of the score, with its version"),
        dg.TableColumn("bases", "text[]", "The mentioned assets, by base of markets"),
        dg.TableColumn("copies", "jsonb", "URLs of copies by feed"),
    ]
)
_SENTIMENT_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("day", "date", "UTC"),
        dg.TableColumn("base", "text", "Base of markets, such as BTC; null for the whole market"),
        dg.TableColumn("source", "text", "fear_greed, gdelt, news, …; combined is made of the others"),
        dg.TableColumn("score", "double precision", "From -1 to 1; null when the source only counts"),
        dg.TableColumn("value", "double precision", "The source's own value, on its scale"),
        dg.TableColumn("scale", "text", "0..100, -100..100, -1..1 or posts"),
        dg.TableColumn("items", "integer", "The number of texts or votes"),
        dg.TableColumn("detail", "jsonb", "For combined, the parts with their scores and weights"),
    ]
)


class _Texts(NamedTuple):
    results: list[FeedResult]
    rescored: int
    newest: list[Mentioned]
    requests: int


class _Scores(NamedTuple):
    collected: Collected
    stored: list[DayScore]
    checks: list[dg.AssetCheckResult]
    requests: int


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    pool="news",
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": _NEWS_COLUMNS, "dagster/table_name": "news"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(hours=1), fail_window=timedelta(hours=6)
    ),
    check_specs=[FEEDS_READ],
)
def news(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Headlines of news feeds, and of Reddit and Telegram where configured, each stored once.

    Feeds are fetched only when changed (ETag, Last-Modified). A copy of another feed's article is stored
    with that article and not counted again. Each title is scored from -1 to 1 and lists the assets it
    mentions; the score stays linked to its article. A feed that fails is reported.
    """
    run = asyncio.run(_collect_texts(coinwatch, context))
    yield check_feeds(run.results, now_us())
    off = not_configured(coinwatch.settings())
    metadata = texts_metadata(run.results, run.rescored, run.newest, off, run.requests)
    errors = [result.error for result in run.results if result.error]
    for error in errors:
        context.log.warning(str(error))
    if errors and len(errors) == len(run.results):
        problem = "\n".join(["No feed could be read.", *map(str, errors)])
        soon = passes_soon(error for error in errors if isinstance(error, SourceError))
        raise dg.Failure(problem, metadata=metadata, allow_retries=soon)
    yield dg.MaterializeResult(metadata=metadata)


async def _collect_texts(coinwatch: Coinwatch, context: dg.AssetExecutionContext) -> _Texts:
    async with coinwatch.warehouse() as conn, text_clients(coinwatch) as (clients, budget):
        names = await named_assets(conn)
        mentions = Mentions({**dict.fromkeys(_bases(coinwatch.settings()), ()), **names})
        rescored = await rescore(conn, mentions, now_us())
        results = await collect_texts(conn, clients, mentions, now_us(), log=context.log.info)
        return _Texts(results, rescored, await newest_texts(conn, NEWEST_SHOWN), budget.requests)


@dg.asset(
    deps=[news, "asset_metrics"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="gdelt",
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": _SENTIMENT_COLUMNS, "dagster/table_name": "sentiment"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(hours=3), fail_window=timedelta(hours=12)
    ),
    check_specs=SCORES_CHECKS,
)
def sentiment(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Sentiment scores of each asset and of the whole market, by UTC day and source.

    Sources are Fear & Greed for any day, GDELT's tone for the last three months, CoinGecko's votes of
    today, the scores of the texts stored for the day, and numbers of posts on X if a token is configured.
    A combined score is stored with its parts and their weights. One run covers many days, because one
    request does. A source that fails is reported and does not affect the others.
    Source of Fear & Greed: alternative.me; data by CoinGecko and the GDELT Project.
    """
    days = days_of(context.partition_keys)
    run = asyncio.run(_collect_scores(coinwatch, days[0], days[-1], context))
    yield from run.checks
    last_day = [score for score in run.stored if score.day == run.collected.last]
    off = not_configured(coinwatch.settings())
    metadata = scores_metadata(run.collected, last_day, off, run.requests)
    for error in run.collected.errors:
        context.log.warning(str(error))
    if run.collected.errors and not any(result.days for result in run.collected.results.values()):
        problem = "\n".join(["No source returned any scores.", *map(str, run.collected.errors)])
        raise dg.Failure(problem, metadata=metadata, allow_retries=passes_soon(run.collected.errors))
    yield dg.MaterializeResult(metadata=metadata)


async def _collect_scores(
    coinwatch: Coinwatch, first: date, last: date, context: dg.AssetExecutionContext
) -> _Scores:
    now = now_us()
    async with coinwatch.warehouse() as conn, score_clients(coinwatch) as (clients, budget):
        bases = _bases(coinwatch.settings())
        assets = wanted_assets(bases, await named_assets(conn), await asset_ids(conn))
        collected = await collect_scores(conn, clients, assets, first, last, now, log=context.log.info)
        stored = await scores_between(conn, collected.first, collected.last)
        checks = await check_scores(conn, collected, stored, now)
    return _Scores(collected, stored, checks, budget.requests)


def _bases(settings: Settings) -> list[str]:
    """The assets of the configured markets, in their order."""
    markets = (*settings.markets, *settings.polled_markets)
    return list(dict.fromkeys(market.symbol.base for market in markets))
