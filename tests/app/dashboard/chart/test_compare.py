from __future__ import annotations

from io import BytesIO, StringIO

import pandas as pd
import pytest

from app.dashboard.chart import compare, download
from app.dashboard.ui.style import DARK
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import MINUTE_US, SECOND_US
from coinwatch.windows import Window

NOON_US = 1_795_176_000 * SECOND_US


def candle(minute: int, close: float, market: str = "binance:BTC-USDT") -> Candle:
    return Candle(
        market=Market.canonical(market),
        interval=Interval.M1,
        open_ts_us=NOON_US + minute * MINUTE_US,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=1.5,
    )


def test_each_is_a_hundred_where_all_have_begun() -> None:
    lines = compare.rebase(
        {
            "old": [candle(n, 10.0 + n) for n in range(5)],
            "young": [candle(2, 200.0), candle(4, 100.0)],
            "silent": [],
            "past": [candle(-9, 1.0)],
        },
        NOON_US,
    )
    old, young = lines
    assert old.points[0] == (NOON_US + 2 * MINUTE_US, 100.0)
    assert old.change == pytest.approx(14 / 12 - 1)
    assert young.change == pytest.approx(-0.5)
    drawn = compare.options(lines, DARK, str)
    assert [series["name"] for series in drawn["series"]] == ["old", "young"]
    assert compare.rebase({}, NOON_US) == ()


def test_no_line_is_drawn_over_what_is_not_collected() -> None:
    candles = [candle(n, 10.0) for n in (0, 1, 5, 6)]
    gaps = [
        Window(NOON_US - 9 * MINUTE_US, NOON_US),
        Window(NOON_US + 2 * MINUTE_US - 9, NOON_US + 5 * MINUTE_US + 9),
        Window(NOON_US + 6 * MINUTE_US, NOON_US + 7 * MINUTE_US),
        Window(NOON_US + 9 * MINUTE_US, NOON_US + 10 * MINUTE_US),
    ]
    (line,) = compare.rebase({"kraken": candles}, NOON_US, {"kraken": gaps})
    assert line.breaks_us == (NOON_US + 2 * MINUTE_US,)
    options = compare.options([line], DARK, str)
    assert [value for _, value in options["series"][0]["data"]] == [100.0, 100.0, None, 100.0, 100.0]
    assert options["aria"]["label"]["description"] == (
        "Changes since 20 Nov 2026, 12:00:00 UTC: kraken 0.00 %."
    )


def test_files_hold_the_candles_with_their_times() -> None:
    candles = [candle(0, 0.00001234), candle(1, 67_123.45)]
    text = pd.read_csv(StringIO(download.csv(candles).decode()))
    assert list(text["open_ts"]) == ["2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z"]
    assert list(text["close"]) == [0.00001234, 67_123.45]
    table = pd.read_parquet(BytesIO(download.parquet(candles)))
    assert str(table["open_ts"].dt.tz) == "UTC"
    assert list(table["symbol"]) == ["BTC-USDT", "BTC-USDT"]
    assert len(pd.read_parquet(BytesIO(download.parquet([])))) == 0
