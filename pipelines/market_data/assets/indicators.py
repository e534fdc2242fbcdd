"""The asset ``indicators``: technical indicators of candles of 5m and longer."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from coinwatch.indicators import NAMES
from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.schema import GROUP, OWNERS
from pipelines.policies import RETRIES
from pipelines.resources import Coinwatch
from warehouse.candles.indicators import (
    Computed,
    candles_without_indicators,
    compute_indicators,
    indicators_due,
)

NONE_WITHOUT = "no_candle_without_indicators"

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("market_id", "integer", "The id in markets"),
        dg.TableColumn("interval", "text", "5m, 15m, 1h, 4h or 1d"),
        dg.TableColumn("open_ts", "timestamptz", "Open time of the latest candle included"),
        *(dg.TableColumn(name, "double precision", "Null while there are too few candles") for name in NAMES),
    ]
)


@dg.asset(
    deps=["rollups"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "python", "talib"},
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": _COLUMNS, "dagster/table_name": "indicators"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        warn_window=timedelta(minutes=30), fail_window=timedelta(hours=2)
    ),
    check_specs=[
        dg.AssetCheckSpec(
            NONE_WITHOUT,
            asset="indicators",
            description="Every candle of 5m and longer of the last two days has indicators or is due.",
        )
    ],
)
def indicators(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """SMA, EMA, RSI, MACD, Bollinger bands, OBV, ATR and VWAP of every rolled-up candle, by TA-Lib.

    Intervals without trades are skipped, not filled. Only the candles from the first changed one on are
    computed, with enough earlier candles that the result equals that of the whole series; a late or
    corrected candle changes all that follow.
    """
    started_s = time.monotonic()
    done, without = asyncio.run(_compute(coinwatch))
    computed = sum(series.computed for series in done)
    yield dg.MaterializeResult(
        metadata={
            "series": len(done),
            "candles_computed": computed,
            "rows_stored": sum(series.stored for series in done),
            "rows_deleted": sum(series.deleted for series in done),
            "candles_per_s": round(computed / max(time.monotonic() - started_s, 1e-3)),
            "by_interval": dg.MetadataValue.md(_by_interval(done)),
        }
    )
    yield dg.AssetCheckResult(
        check_name=NONE_WITHOUT, passed=not without, metadata={"candles_without_indicators": without}
    )


async def _compute(coinwatch: Coinwatch) -> tuple[list[Computed], int]:
    async with coinwatch.warehouse() as conn:
        due = await indicators_due(conn)
        done = [computed for series in due if (computed := await compute_indicators(conn, *series))]
        now = now_us()
        return done, await candles_without_indicators(conn, Window(now - 2 * DAY_US, now))


def _by_interval(done: list[Computed]) -> str:
    lines = ["| interval | series | computed | stored | deleted |", "|---|---:|---:|---:|---:|"]
    for interval in Interval:
        of_interval = [series for series in done if series.interval is interval]
        if of_interval:
            computed = sum(series.computed for series in of_interval)
            stored = sum(series.stored for series in of_interval)
            deleted = sum(series.deleted for series in of_interval)
            lines.append(f"| {interval} | {len(of_interval)} | {computed:,} | {stored:,} | {deleted:,} |")
    return "\n".join(lines)
