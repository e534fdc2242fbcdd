"""Every market in a row, for a table that can be searched and sorted. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from urllib.parse import quote as quote_url

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.io.formats.style import Styler

from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.liveness import silent_after_us
from coinwatch.times import SECOND_US
from warehouse.candles.chart_reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket

PRICE, CHANGE, HIGH, LOW, VOLUME, LINE, AGE, STATE = (
    *("Price", "24 h", "High", "Low", "Volume", "Last 24 h", "Last trade", "State"),
)
SYMBOL = "Symbol"
LINKED = r"symbol=([^&]+)"
"""The symbol in the address of its chart, which is the value of that column."""

LIVE, SILENT, NEVER = "live", "silent", "no trade"


def build(
    markets: Sequence[WatchedMarket],
    latest: Iterable[LastTrade],
    day: Iterable[DayStats],
    rates: Iterable[TradeRate],
    streams: Iterable[StreamState],
    sparklines: Mapping[int, tuple[float, ...]],
    now_us: int,
) -> pd.DataFrame:
    """A row for each of ``markets``, those with the most volume first."""
    last_by_id = {trade.market_id: trade for trade in latest}
    day_by_id = {row.market_id: row for row in day}
    rate_by_id = {rate.market_id: rate for rate in rates}
    stream_by_id = {stream.market_id: stream.state for stream in streams}
    members = sorted(
        markets,
        key=lambda row: (
            -(day_by_id[row.market_id].quote_volume if row.market_id in day_by_id else -1.0),
            str(row.market.symbol),
            row.market.exchange,
        ),
    )
    last = [last_by_id.get(row.market_id) for row in members]
    stats = [day_by_id.get(row.market_id) for row in members]
    both = list(zip(last, stats, strict=True))
    ages_us = [None if trade is None else max(0, now_us - trade.ts_us) for trade in last]
    # By columns: a frame of rows takes pandas ten times as long, and every viewer has row made.
    return pd.DataFrame(
        {
            SYMBOL: [
                f"chart?symbol={quote_url(str(row.market.symbol))}&exchange={quote_url(row.market.exchange)}"
                for row in members
            ],
            "Exchange": [row.market.exchange for row in members],
            PRICE: _numbers(trade and trade.price for trade in last),
            CHANGE: _numbers(trade and day_ and trade.price / day_.open - 1 for trade, day_ in both),
            LINE: [list(sparklines.get(row.market_id, ())) for row in members],
            HIGH: _numbers(trade and day_ and max(day_.high, trade.price) for trade, day_ in both),
            LOW: _numbers(trade and day_ and min(day_.low, trade.price) for trade, day_ in both),
            VOLUME: _numbers(day_ and day_.quote_volume for day_ in stats),
            AGE: _numbers(None if age_us is None else age_us / SECOND_US for age_us in ages_us),
            STATE: [
                _state(age_us, rate_by_id.get(row.market_id), stream_by_id.get(row.market_id))
                for row, age_us in zip(members, ages_us, strict=True)
            ],
        }
    )


def styled(frame: pd.DataFrame, palette: Palette) -> Styler:
    """``frame`` as people read it; sorting still goes by the numbers."""

    def colour(value: object) -> str:
        change = value if isinstance(value, float) and isfinite(value) else 0.0
        if round(change, 4) == 0:
            return f"color: {palette.muted}"
        return f"color: {palette.up if change > 0 else palette.down}"

    def state(value: object) -> str:
        return f"color: {palette.up if value == LIVE else palette.hatch}"

    shown = frame.style.format(
        {
            PRICE: _cell(formats.price),
            HIGH: _cell(formats.price),
            LOW: _cell(formats.price),
            CHANGE: _cell(formats.percent),
            VOLUME: _cell(formats.compact),
            AGE: _cell(_age),
        }
    )
    return shown.map(colour, subset=[CHANGE]).map(state, subset=[STATE])


def _numbers(values: Iterable[object]) -> NDArray[np.float64]:
    """Floats; NaN for what is not known."""
    return np.array([value if isinstance(value, float) else np.nan for value in values], dtype=np.float64)


def _cell(show: Callable[[float], str]) -> Callable[[object], str]:
    return lambda value: show(value) if isinstance(value, float) else formats.UNKNOWN


def _age(seconds: float) -> str:
    return formats.duration(round(seconds * SECOND_US)) if isfinite(seconds) else formats.UNKNOWN


def _state(age_us: int | None, rate: TradeRate | None, stream: str | None) -> str:
    if stream is not None and stream != "live":
        return stream
    if age_us is None:
        return NEVER
    mean_interval_us = rate.mean_interval_us if rate is not None else None
    return LIVE if age_us <= silent_after_us(mean_interval_us) else SILENT
