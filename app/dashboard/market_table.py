"""Every market in a row, for a table that is searched and sorted. Pure: no Streamlit, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite

import pandas as pd
from pandas.io.formats.style import Styler

from app.dashboard import formats
from app.dashboard.overview import patience_us
from app.dashboard.style import Palette
from coinwatch.times import SECOND_US
from warehouse.reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket

PRICE, CHANGE, HIGH, LOW, VOLUME, LINE, AGE, STATE = (
    *("Price", "24 h", "High", "Low", "Volume", "Last 24 h", "Last trade", "State"),
)
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
    last_of = {one.market_id: one for one in latest}
    day_of = {one.market_id: one for one in day}
    rate_of = {one.market_id: one for one in rates}
    stream_of = {one.market_id: one.state for one in streams}
    rows = []
    for watched in markets:
        last, stats = last_of.get(watched.market_id), day_of.get(watched.market_id)
        age_us = None if last is None else max(0, now_us - last.ts_us)
        rows.append(
            {
                "Symbol": str(watched.market.symbol),
                "Exchange": watched.market.exchange,
                PRICE: last.price if last else None,
                CHANGE: last.price / stats.open - 1 if last and stats else None,
                LINE: list(sparklines.get(watched.market_id, ())),
                HIGH: max(stats.high, last.price) if last and stats else None,
                LOW: min(stats.low, last.price) if last and stats else None,
                VOLUME: stats.quote_volume if stats else None,
                AGE: None if age_us is None else age_us / SECOND_US,
                STATE: _state(age_us, rate_of.get(watched.market_id), stream_of.get(watched.market_id)),
            }
        )
    frame = pd.DataFrame(rows)
    numbers = [PRICE, CHANGE, HIGH, LOW, VOLUME, AGE]
    frame[numbers] = frame[numbers].astype("float64")
    return frame.sort_values([VOLUME, "Symbol", "Exchange"], ascending=[False, True, True], ignore_index=True)


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


def _cell(show: Callable[[float], str]) -> Callable[[object], str]:
    return lambda value: show(value) if isinstance(value, float) else formats.UNKNOWN


def _age(seconds: float) -> str:
    return formats.duration(round(seconds * SECOND_US)) if isfinite(seconds) else formats.UNKNOWN


def _state(age_us: int | None, rate: TradeRate | None, stream: str | None) -> str:
    if stream is not None and stream != "live":
        return stream
    if age_us is None:
        return NEVER
    return LIVE if age_us <= patience_us(rate) else SILENT
