"""Asset checks of candles."""

from __future__ import annotations

import dagster as dg

from coinwatch.intervals import Interval
from coinwatch.times import MINUTE_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.collection.active import active_markets
from pipelines.market_data.collection.missing_ranges import LATE_US, missing_in
from pipelines.market_data.report import spell, spell_all
from pipelines.resources import Coinwatch

RECENT_COVERAGE = dg.AssetCheckSpec(
    "no_uncovered_range_in_last_hour",
    asset="candles_1m",
    description="Every minute of the last hour is covered for every active market, except the last "
    f"{LATE_US // MINUTE_US} minutes, which the next run fetches.",
)
"""Evaluated within the asset, because Dagster skips the checks of a failed asset."""

_SPAN_US = 60 * MINUTE_US


async def recent_coverage(coinwatch: Coinwatch) -> dg.AssetCheckResult:
    """Evaluate RECENT_COVERAGE now. A missing range means a lost stream or a run that did not happen."""
    end_us = Interval.M1.floor(now_us() - LATE_US)
    window = Window(end_us - _SPAN_US, end_us)
    async with coinwatch.warehouse() as conn:
        missing = await missing_in(conn, window, await active_markets(conn, coinwatch.settings()))
    rows = [f"| {market} | {spell_all(windows)} |" for market, windows in missing.items()]
    table = "\n".join(["| market | missing ranges |", "|---|---|", *rows])
    return dg.AssetCheckResult(
        check_name=RECENT_COVERAGE.name,
        asset_key=RECENT_COVERAGE.asset_key,
        passed=not missing,
        metadata={
            "window_utc": spell(window),
            "markets_with_missing_ranges": len(missing),
            **({"missing_ranges": dg.MetadataValue.md(table)} if missing else {}),
        },
    )
