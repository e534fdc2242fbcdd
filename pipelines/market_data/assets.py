"""The assets: a window in, one call, metadata out."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, day_start_us, now_us
from coinwatch.windows import Window
from pipelines.market_data.checks import RECENT_COVERAGE, recent_coverage
from pipelines.market_data.collect import Fill, InstrumentLists, collect_candles, collect_instruments
from pipelines.market_data.partitions import DAYS, closed_window, days_of
from pipelines.market_data.report import failure, fill_metadata, lists_metadata
from pipelines.resources import Coinwatch

GROUP = "market_data"
OWNERS = ["team:market-data"]

_MARKETS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("exchange", "text", "Name of the exchange, as in binance:BTC-USDT"),
        dg.TableColumn("symbol", "text", "Canonical pair, BTC-USDT"),
        dg.TableColumn("native", "text", "The exchange's own spelling"),
        dg.TableColumn("status", "text", "active or delisted"),
        dg.TableColumn("price_step", "double precision", "Smallest step of a price, in the quote asset"),
        dg.TableColumn("amount_step", "double precision", "Smallest step of an amount, in the base asset"),
    ]
)

_CANDLES_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("market_id", "integer", "The market, see markets"),
        dg.TableColumn("interval", "text", "1m here"),
        dg.TableColumn("open_ts", "timestamptz", "Start of the minute"),
        *(dg.TableColumn(name, "double precision", "In the quote asset") for name in ("open", "high", "low")),
        dg.TableColumn("close", "double precision", "In the quote asset"),
        dg.TableColumn("volume", "double precision", "In the base asset"),
        dg.TableColumn("quote_volume", "double precision", "In the quote asset; null where not given"),
        dg.TableColumn("trades", "integer", "How many trades; null where not given"),
        dg.TableColumn("source", "text", "exchange, ticks or rollup"),
        dg.TableColumn("revision", "smallint", "How often a stored candle was corrected"),
    ]
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    metadata={"dagster/column_schema": _MARKETS_COLUMNS, "dagster/table_name": "markets"},
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


@dg.asset(
    deps=[markets],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python"},
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=7),
    metadata={"dagster/column_schema": _CANDLES_COLUMNS, "dagster/table_name": "candles"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=15), fail_window=timedelta(hours=1)
    ),
    check_specs=[RECENT_COVERAGE],
)
def candles_1m(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """One-minute candles as the exchanges publish them, by UTC day.

    Materialising a day makes it complete for every configured market: only what coverage lacks is
    asked for, a minute without a trade is covered and empty, the minute still open is left alone.
    What one market fails to get is named, and the others are stored.
    """
    days = days_of(context.partition_keys)
    window = closed_window(days[0], days[-1], now_us())
    if window is None:
        yield dg.MaterializeResult(metadata={"reason": "No minute of the day is over yet."})
        yield asyncio.run(recent_coverage(coinwatch))
        return
    fill, requests = asyncio.run(_collect_candles(coinwatch, window, context))
    yield asyncio.run(recent_coverage(coinwatch))
    metadata = fill_metadata(fill, requests)
    if problem := failure(fill):
        for day in _complete(days, fill):
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=day, metadata=metadata))
        raise dg.Failure(problem, metadata=metadata, allow_retries=False)
    yield dg.MaterializeResult(metadata=metadata)


async def _collect_candles(
    coinwatch: Coinwatch, window: Window, context: dg.AssetExecutionContext
) -> tuple[Fill, int]:
    wanted = coinwatch.settings().markets
    exchanges = {market.exchange for market in wanted}
    async with coinwatch.warehouse() as conn, coinwatch.exchanges(exchanges) as clients:
        fill = await collect_candles(
            conn, clients.by_exchange, wanted, Interval.M1, window, log=context.log.info
        )
    return fill, clients.budget.requests


def _complete(days: list[date], fill: Fill) -> Iterator[str]:
    """The partitions that lack nothing although the run fails."""
    lacking = [window for market in fill.markets for window in market.still_missing]
    for day in days:
        whole = Window(day_start_us(day), day_start_us(day) + DAY_US)
        if not any(whole.intersect(window) for window in lacking):
            yield day.isoformat()
