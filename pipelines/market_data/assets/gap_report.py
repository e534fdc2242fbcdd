"""What is missing, and what nobody can have any more."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import DAY_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.collection.missing_ranges import gaps_by_market
from pipelines.market_data.report import spell_all
from pipelines.market_data.schema import GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from warehouse.candles.coverage import Completeness, completeness

MARKETS_SHOWN = 200
NO_OLD_GAP = "no_gap_older_than_a_day"

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("exchange", "text", "Name of the exchange, as in binance:BTC-USDT"),
        dg.TableColumn("symbol", "text", "Canonical pair, BTC-USDT"),
        dg.TableColumn("interval", "text", "1m; longer candles are made of these"),
        dg.TableColumn("from_ts", "timestamptz", "Start of the first minute that is missing"),
        dg.TableColumn("to_ts", "timestamptz", "End of the last"),
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
            description="A gap that a day of trying has not filled wants a person to look.",
        )
    ],
)
def gap_report(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """What is wanted of candles: how much is there, what is missing, what the exchanges no longer serve.

    The rows themselves are the view ``v_gaps``.
    """
    gaps, all_markets = asyncio.run(_read(coinwatch))
    yield dg.MaterializeResult(
        metadata={
            "markets": len(all_markets),
            "markets_with_gaps": len(gaps),
            "gaps": sum(map(len, gaps.values())),
            "minutes_missing": sum(map(_minutes, gaps.values())),
            "minutes_unavailable": sum(one.unavailable for one in all_markets.values()),
            "by_market": dg.MetadataValue.md(_table(gaps, all_markets)),
        }
    )
    old_us = now_us() - DAY_US
    old = [market for market, holes in gaps.items() if holes[0].start_us < old_us]
    yield dg.AssetCheckResult(
        check_name=NO_OLD_GAP,
        passed=not old,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"markets": ", ".join(map(str, old)) or "none"},
    )


async def _read(coinwatch: Coinwatch) -> tuple[dict[Market, list[Window]], dict[Market, Completeness]]:
    async with coinwatch.warehouse() as conn:
        return await gaps_by_market(conn), await completeness(conn)


def _minutes(windows: list[Window]) -> int:
    return sum(window.length_us for window in windows) // Interval.M1.us


def _table(gaps: dict[Market, list[Window]], markets: dict[Market, Completeness]) -> str:
    """Those with most missing first."""
    lines = ["| market | wanted | covered | unavailable | missing | where |", "|---|---:|---:|---:|---:|---|"]
    ordered = sorted(markets, key=lambda market: (-_minutes(gaps.get(market, [])), market))
    for market in ordered[:MARKETS_SHOWN]:
        one, holes = markets[market], gaps.get(market, [])
        cells = (one.wanted, one.covered, one.unavailable, _minutes(holes))
        lines.append(f"| {market} | {' | '.join(f'{cell:,}' for cell in cells)} | {spell_all(holes)} |")
    return "\n".join(lines)
