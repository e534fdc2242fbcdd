"""Indicators of the end of a series equal those of the whole series, wherever computing starts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import talib

from coinwatch.indicators import NAMES, WARM_UP, Floats, Series, compute
from coinwatch.times import DAY_US, MINUTE_US

STEP_US = 5 * MINUTE_US
RELATIVE = 1e-9


def series(length: int, seed: int = 1, price: float = 60_000.0) -> Series:
    """A random walk of 5m candles; every tenth is missing, as where nothing traded."""
    chance = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(chance.normal(0, 0.002, length)))
    open_ = np.concatenate(([price], close[:-1]))
    high = np.maximum(open_, close) * (1 + np.abs(chance.normal(0, 0.001, length)))
    low = np.minimum(open_, close) * (1 - np.abs(chance.normal(0, 0.001, length)))
    slots = np.flatnonzero(chance.random(2 * length + 100) > 0.1)[:length]
    return Series(slots * STEP_US, high, low, close, chance.exponential(3.0, length))


def part(whole: Series, start: int, end: int) -> Series:
    return Series(
        whole.open_ts_us[start:end],
        whole.high[start:end],
        whole.low[start:end],
        whole.close[start:end],
        whole.volume[start:end],
    )


def differences(computed: Mapping[str, Floats], expected: Mapping[str, Floats]) -> dict[str, float]:
    """The largest relative difference by indicator; those of MACD by its price scale are not spared."""
    worst = {}
    for name in NAMES:
        assert np.array_equal(np.isnan(computed[name]), np.isnan(expected[name])), name
        known = ~np.isnan(expected[name])
        scale = np.maximum(np.abs(expected[name][known]), 1e-300)
        worst[name] = float(np.max(np.abs(computed[name][known] - expected[name][known]) / scale, initial=0))
    return worst


def test_indicators_equal_those_of_ta_lib() -> None:
    whole = series(1_000)
    computed = compute(whole)
    assert tuple(sorted(computed)) == tuple(sorted(NAMES))
    assert np.array_equal(computed["sma_200"], talib.SMA(whole.close, 200), equal_nan=True)
    assert np.array_equal(computed["ema_26"], talib.EMA(whole.close, 26), equal_nan=True)
    assert np.array_equal(computed["rsi_14"], talib.RSI(whole.close, 14), equal_nan=True)
    assert np.array_equal(computed["macd_histogram"], talib.MACD(whole.close)[2], equal_nan=True)
    assert np.array_equal(computed["bollinger_lower"], talib.BBANDS(whole.close, 20, 2, 2)[2], equal_nan=True)
    assert np.array_equal(computed["obv"], talib.OBV(whole.close, whole.volume))
    assert np.array_equal(
        computed["atr_14"], talib.ATR(whole.high, whole.low, whole.close, 14), equal_nan=True
    )


def test_vwap_restarts_each_day() -> None:
    day = np.array([0, DAY_US - STEP_US, DAY_US, DAY_US + STEP_US])
    prices = np.array([10.0, 20.0, 40.0, 10.0])
    computed = compute(Series(day, prices, prices, prices, np.array([1.0, 3.0, 0.0, 2.0])))["vwap"]
    assert computed[:2].tolist() == [10.0, 17.5]
    assert np.isnan(computed[2])  # nothing was traded
    assert computed[3] == 10.0


@pytest.mark.parametrize("length", [0, 1, 2, 14, 15, 33, 34, 199, 200])
def test_short_series_have_nan_until_there_are_enough_candles(length: int) -> None:
    computed = compute(series(length))
    assert {name: len(values) for name, values in computed.items()} == dict.fromkeys(NAMES, length)
    assert not np.isnan(computed["obv"]).any()
    assert int(np.isnan(computed["sma_20"]).sum()) == min(length, 19)
    assert int(np.isnan(computed["macd_signal"]).sum()) == min(length, 33)


@pytest.mark.parametrize("seed", range(8))
def test_results_after_the_warm_up_equal_the_whole_series(seed: int) -> None:
    whole = series(3 * WARM_UP, seed, price=[60_000.0, 1.0, 3e-8, 250.0][seed % 4])
    expected = compute(whole)
    start = int(np.random.default_rng(seed).integers(WARM_UP, 2 * WARM_UP))
    ended = compute(part(whole, start - WARM_UP, len(whole)), expected["obv"][start - WARM_UP])
    worst = differences(
        {name: values[WARM_UP:] for name, values in ended.items()},
        {name: values[start:] for name, values in expected.items()},
    )
    # Where MACD crosses zero, all is rounding; it is compared with the size of what it is the difference of.
    for name in ("macd", "macd_signal", "macd_histogram"):
        apart = np.abs(ended[name][WARM_UP:] - expected[name][start:])
        worst[name] = float(np.max(apart / expected["ema_26"][start:]))
    assert {name: value for name, value in worst.items() if value > RELATIVE} == {}
    assert worst["obv"] == worst["vwap"] == 0
