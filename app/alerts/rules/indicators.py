"""Indicators of closes for conditions, by TA-Lib like the stored ones. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
import talib

from coinwatch.alerts import MovingAverage


def rsi(closes: Sequence[float], period: int) -> float | None:
    """Wilder's RSI at the last of ``closes``; None while there are too few."""
    if len(closes) <= period:
        return None
    return _last(talib.RSI(np.asarray(closes, dtype=np.float64), timeperiod=period))


def average_distance(closes: Sequence[float], fast: int, slow: int, kind: MovingAverage) -> float | None:
    """How far the fast moving average is above the slow one at the last of ``closes``, in percent.

    None while there are too few closes.
    """
    if len(closes) < slow:
        return None
    average = talib.SMA if kind is MovingAverage.SIMPLE else talib.EMA
    values = np.asarray(closes, dtype=np.float64)
    quick = values[-1] if fast == 1 else _last(average(values, timeperiod=fast))
    steady = _last(average(values, timeperiod=slow))
    return None if quick is None or steady is None else float((quick / steady - 1) * 100)


def _last(values: np.typing.NDArray[np.float64]) -> float | None:
    return float(values[-1]) if isfinite(values[-1]) else None
