"""Technical indicators of a series of candles, by TA-Lib.

The series is the candles that were traded, in order: where nothing traded there is no candle, and the
one before counts as the previous. Periods are counted in candles. Where an indicator has not enough
candles yet, it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import talib
from numpy.typing import NDArray

from coinwatch.times import DAY_US

Floats = NDArray[np.float64]

NAMES = (
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_12",
    "ema_26",
    "ema_50",
    "ema_200",
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bollinger_upper",
    "bollinger_lower",
    "obv",
    "atr_14",
    "vwap",
)
"""What is computed. Bollinger's middle band is ``sma_20``."""

WARM_UP = 4_000
"""How many candles before the first that is wanted make the result that of the whole series.

EMA, MACD, RSI and ATR remember for ever; the slowest, EMA(200), keeps 199/201 of its past a candle and
so 4e-18 of it after this many. It is more than a day of the shortest interval, too, which VWAP needs.
"""


class Series(msgspec.Struct, frozen=True):
    """Candles of one market and interval by column, ordered by time, all of the same length."""

    open_ts_us: NDArray[np.int64]
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    """In the base asset."""

    def __len__(self) -> int:
        return len(self.open_ts_us)


def compute(series: Series, first_obv: float | None = None) -> Mapping[str, Floats]:
    """Every indicator of NAMES at every candle of ``series``.

    SMA, EMA, RSI, MACD(12, 26, 9), Bollinger(20, 2), OBV and ATR as TA-Lib has them. VWAP is that of the
    UTC day so far, of typical prices: (high + low + close) / 3. ``first_obv``: OBV at the first candle,
    where the series is the end of a longer one.
    """
    if not len(series):
        return {name: np.empty(0) for name in NAMES}
    high, low, close = series.high, series.low, series.close
    macd, macd_signal, macd_histogram = talib.MACD(close, 12, 26, 9)
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    return {
        **{f"sma_{period}": talib.SMA(close, period) for period in (20, 50, 200)},
        **{f"ema_{period}": talib.EMA(close, period) for period in (12, 26, 50, 200)},
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": macd_signal,
        "macd_histogram": macd_histogram,
        "bollinger_upper": upper,
        "bollinger_lower": lower,
        "obv": talib.OBV(close, _starting_with(first_obv, series.volume)),
        "atr_14": talib.ATR(high, low, close, 14),
        "vwap": _vwap(series),
    }


def _starting_with(first: float | None, volume: Floats) -> Floats:
    """OBV begins with the first volume, so that a sum begun before goes on from there, bit for bit."""
    return volume if first is None else np.concatenate(([first], volume[1:]))


def _vwap(series: Series) -> Floats:
    """Each day is summed by itself, so that the result does not depend on where the series begins."""
    typical = (series.high + series.low + series.close) / 3
    days = series.open_ts_us // DAY_US
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    sums = np.concatenate([np.cumsum(part) for part in np.split(typical * series.volume, starts[1:])])
    volumes = np.concatenate([np.cumsum(part) for part in np.split(series.volume, starts[1:])])
    vwap = np.full(len(series), np.nan)
    np.divide(sums, volumes, out=vwap, where=volumes > 0)
    return vwap
