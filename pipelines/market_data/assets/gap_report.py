"""The asset ``gap_report``: missing and unavailable candles."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import DAY_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.collection.missing_ranges import missing_ranges
from pipelines.market_data.report import spell_all
from pipelines.market_data.schema import GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from warehouse.candles.coverage import Completeness, completeness

MARKETS_SHOWN = 200
NO_OLD_GAP = "no_gap_older_than_a_day"

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("exchange", "text", "The exchange's name, as in binance:BTC-USDT"),
        dg.TableColumn("symbol", "text", "The pair, such as BTC-USDT"),
        dg.TableColumn("interval", "text", "1m, of which longer candles are made"),
        dg.TableColumn("from_ts", "timestamptz", "Start of the first missing minute"),
        dg.TableColumn("to_ts", "timestamptz", "End of the last missing minute"),
    ]
)


@dg.asset(
    deps=["candles_1m"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "sql"},
    metadata={"dagster/column_schema": _COLUMNS, "dagster/table_name": "v_gaps"},
    retry_policy=RETRIES,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=3)),
    check_specs=[
        dg.AssetCheckSpec(
            NO_OLD_GAP,
            asset="gap_report",
            description="No range has been missing for more than a day; one that has needs an operator.",
        )
    ],
)
def gap_report(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Report the candles that are wanted, covered, missing and no longer served, by market.

    The view ``v_gaps`` lists the missing ranges.
    """
    missing, all_markets = asyncio.run(_read(coinwatch))
    yield dg.MaterializeResult(
        metadata={
            "markets": len(all_markets),
            "markets_with_gaps": len(missing),
            "gaps": sum(map(len, missing.values())),
            "minutes_missing": sum(map(_minutes, missing.values())),
            "minutes_unavailable": sum(market.unavailable for market in all_markets.values()),
            "by_market": dg.MetadataValue.md(_table(missing, all_markets)),
        }
    )
    old_us = now_us() - DAY_US
    old = [market for market, windows in missing.items() if windows[0].start_us < old_us]
    yield dg.AssetCheckResult(
        check_name=NO_OLD_GAP,
        passed=not old,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"markets": ", ".join(map(str, old)) or "none"},
    )


async def _read(coinwatch: Coinwatch) -> tuple[dict[Market, list[Window]], dict[Market, Completeness]]:
    async with coinwatch.warehouse() as conn:
        return await missing_ranges(conn), await completeness(conn)


def _minutes(windows: list[Window]) -> int:
    return sum(window.length_us for window in windows) // Interval.M1.us


def _table(missing: dict[Market, list[Window]], markets: dict[Market, Completeness]) -> str:
    """A table of markets in minutes, those with most missing minutes first."""
    lines = [
        "| market | wanted | covered | unavailable | missing | ranges |",
        "|---|---:|---:|---:|---:|---|",
    ]
    ordered = sorted(markets, key=lambda market: (-_minutes(missing.get(market, [])), market))
    for market in ordered[:MARKETS_SHOWN]:
        counts, windows = markets[market], missing.get(market, [])
        cells = (counts.wanted, counts.covered, counts.unavailable, _minutes(windows))
        lines.append(f"| {market} | {' | '.join(f'{cell:,}' for cell in cells)} | {spell_all(windows)} |")
    return "\n".join(lines)
