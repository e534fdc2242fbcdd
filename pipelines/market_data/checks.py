"""What must be true of the candles, whatever a run said of itself."""

from __future__ import annotations

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.times import MINUTE_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.collection.active import active_markets
from pipelines.market_data.collection.missing_ranges import LATE_US, uncovered
from pipelines.market_data.report import spell, spell_all
from pipelines.resources import Coinwatch

RECENT_COVERAGE = dg.AssetCheckSpec(
    "no_uncovered_range_in_last_hour",
    asset="candles_1m",
    description="Every minute of the last hour is covered on every active market, but for those "
    f"newer than {LATE_US // MINUTE_US} minutes, which the next run fetches.",
)
"""Evaluated by the asset itself, because Dagster skips checks of an asset that failed, and that is
when one wants to know."""

_SPAN_US = 60 * MINUTE_US


async def recent_coverage(coinwatch: Coinwatch) -> dg.AssetCheckResult:
    """Evaluate RECENT_COVERAGE now. An uncovered range is a lost feed, or a run that never came."""
    end_us = Interval.M1.floor(now_us() - LATE_US)
    window = Window(end_us - _SPAN_US, end_us)
    async with coinwatch.warehouse() as conn:
        lacking = await uncovered(conn, await active_markets(conn, coinwatch.settings()), window)
    rows = [f"| {market} | {spell_all(windows)} |" for market, windows in lacking.items()]
    table = "\n".join(["| market | uncovered |", "|---|---|", *rows])
    return dg.AssetCheckResult(
        check_name=RECENT_COVERAGE.name,
        asset_key=RECENT_COVERAGE.asset_key,
        passed=not lacking,
        metadata={
            "window_utc": spell(window),
            "markets_uncovered": len(lacking),
            **({"uncovered": dg.MetadataValue.md(table)} if lacking else {}),
        },
    )
