"""Technical indicators of a series of candles, computed by TA-Lib. Pure: no I/O.

A series holds only intervals with trades, in order; intervals without trades are skipped, not filled.
Periods are counted in candles. An indicator without enough candles is NaN.
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
"""The indicators computed. The middle Bollinger band is ``sma_20``."""

WARM_UP = 4_000
"""How many candles to read before the first wanted one, so that the result equals that of the whole series.

EMA, MACD, RSI and ATR depend on all earlier candles. The slowest, EMA(200), keeps 199/201 of its past per
candle, so 4e-18 of it after this many. It also exceeds a day of the shortest interval, as VWAP requires.
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
    """Compute every indicator of NAMES at every candle of ``series``.

    SMA, EMA, RSI, MACD(12, 26, 9), Bollinger(20, 2), OBV and ATR follow TA-Lib. VWAP covers the UTC day
    so far, by typical price: (high + low + close) / 3.

    Args:
        series: The candles, ordered by time.
        first_obv: OBV at the first candle, when the series continues a longer one.

    Returns:
        For each name an array as long as the series.
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
        "obv": talib.OBV(close, _continuing(first_obv, series.volume)),
        "atr_14": talib.ATR(high, low, close, 14),
        "vwap": _vwap(series),
    }


def _continuing(first: float | None, volume: Floats) -> Floats:
    """TA-Lib starts OBV at the first volume; replacing that continues an earlier sum bit for bit."""
    return volume if first is None else np.concatenate(([first], volume[1:]))


def _vwap(series: Series) -> Floats:
    """Each day is summed separately, so that the result is independent of where the series begins."""
    typical = (series.high + series.low + series.close) / 3
    days = series.open_ts_us // DAY_US
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    sums = np.concatenate([np.cumsum(part) for part in np.split(typical * series.volume, starts[1:])])
    volumes = np.concatenate([np.cumsum(part) for part in np.split(series.volume, starts[1:])])
    vwap = np.full(len(series), np.nan)
    np.divide(sums, volumes, out=vwap, where=volumes > 0)
    return vwap
