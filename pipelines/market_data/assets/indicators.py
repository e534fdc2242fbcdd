"""Technical indicators of candles of 5m and longer."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

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
        dg.TableColumn("market_id", "integer", "The market, see markets"),
        dg.TableColumn("interval", "text", "5m, 15m, 1h, 4h or 1d"),
        dg.TableColumn("open_ts", "timestamptz", "Start of the candle they end with"),
        *(dg.TableColumn(name, "double precision", "Null where there are too few candles") for name in NAMES),
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
            description="Each candle of 5m and longer of the last two days has its indicators, or is due.",
        )
    ],
)
def indicators(
    context: dg.AssetExecutionContext, coinwatch: Coinwatch
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """SMA, EMA, RSI, MACD, Bollinger's bands, OBV, ATR and VWAP, by TA-Lib, on every rolled-up candle.

    The series is the candles that were traded, in order: where nothing traded, none is made up. Only what
    follows the first changed candle is computed, with so many before it that the result is that of the
    whole series; a late or corrected candle changes all that follow.
    """
    began = time.monotonic()
    done, without = asyncio.run(_compute(coinwatch))
    computed = sum(one.computed for one in done)
    yield dg.MaterializeResult(
        metadata={
            "series": len(done),
            "candles_computed": computed,
            "rows_stored": sum(one.stored for one in done),
            "rows_deleted": sum(one.deleted for one in done),
            "candles_per_s": round(computed / max(time.monotonic() - began, 1e-3)),
            "by_interval": dg.MetadataValue.md(_by_interval(done)),
        }
    )
    yield dg.AssetCheckResult(
        check_name=NONE_WITHOUT, passed=not without, metadata={"candles_without_indicators": without}
    )


async def _compute(coinwatch: Coinwatch) -> tuple[list[Computed], int]:
    async with coinwatch.warehouse() as conn:
        due = await indicators_due(conn)
        done = [one for series in due if (one := await compute_indicators(conn, *series))]
        now = now_us()
        return done, await candles_without_indicators(conn, Window(now - 2 * DAY_US, now))


def _by_interval(done: list[Computed]) -> str:
    lines = ["| interval | series | computed | stored | deleted |", "|---|---:|---:|---:|---:|"]
    for interval in Interval:
        these = [one for one in done if one.interval is interval]
        if these:
            computed, stored = sum(one.computed for one in these), sum(one.stored for one in these)
            deleted = sum(one.deleted for one in these)
            lines.append(f"| {interval} | {len(these)} | {computed:,} | {stored:,} | {deleted:,} |")
    return "\n".join(lines)
