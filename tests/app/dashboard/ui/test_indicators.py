from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.ui.indicators import KINDS, MOVING_AVERAGES, Indicator, Series, examples, parse_indicator
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US

NOON_US = 1_795_176_000 * SECOND_US
MARKET = Market.canonical("binance:BTC-USDT")


def candle(minute: int, close: float, volume: float = 1.0) -> Candle:
    return Candle(
        market=MARKET,
        interval=Interval.M1,
        open_ts_us=NOON_US + minute * MINUTE_US,
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=volume,
    )


@pytest.mark.parametrize(
    ("text", "indicator"),
    [
        ("SMA 20", "SMA 20"),
        ("sma20", "SMA 20"),
        (" Sma-20 ", "SMA 20"),
        ("ema", "EMA 20"),
        ("bb", "BB 20 2"),
        ("Bollinger 30, 2.5", "BB 30 2.5"),
        ("macd 5/35/5", "MACD 5 35 5"),
        ("macd 5", "MACD 5 26 9"),
        ("vwap", "VWAP"),
        ("rsi 7", "RSI 7"),
    ],
)
def test_indicators_take_any_spelling(text: str, indicator: str) -> None:
    assert str(parse_indicator(text)) == indicator


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("zigzag 3", "not an indicator; use one of SMA 20"),
        ("20", "not an indicator"),
        ("SMA 1", "between 2 and 300"),
        ("sma 20 30", "too many parameters; write it like SMA 20"),
        ("sma 20.5", "whole number"),
        ("bb 20 9", "between 0.5 and 5"),
        ("ema 9999", "between"),
        ("vwap 3", "too many"),
        ("rsi 1.2.3", "must be numbers"),
    ],
)
def test_a_wrong_indicator_is_refused_with_the_correct_form(text: str, reason: str) -> None:
    with pytest.raises(CoinwatchError, match=reason):
        parse_indicator(text)


@given(st.text(max_size=40))
def test_any_text_is_an_indicator_or_refused(text: str) -> None:
    try:
        indicator = parse_indicator(text)
    except CoinwatchError:
        return
    assert parse_indicator(str(indicator)) == indicator


def test_a_moving_average_only_takes_prices() -> None:
    values = Indicator("SMA", (3,)).moving([10.0, 11.0, 15.0, 9.0, 10.0])
    assert values[:2] == [None, None]
    assert values[2:] == pytest.approx([12.0, 35 / 3, 34 / 3])
    assert Indicator("EMA", (20,)).moving([1.0]) == [None]
    with pytest.raises(ValueError, match="not a moving average"):
        Indicator("RSI", (14,)).moving([1.0])


def test_vwap_begins_again_each_utc_day() -> None:
    evening = -(NOON_US % DAY_US) // MINUTE_US - 2
    series = Series.of(
        [
            candle(evening, 10.0, 1.0),
            candle(evening + 1, 20.0, 3.0),
            candle(0, 100.0, 0.0),
            candle(1, 50.0, 2.0),
        ]
    )
    (values,) = Indicator("VWAP", ()).compute(series).values()
    assert values[:2] == pytest.approx([10.0, 17.5])
    assert np.isnan(values[2])  # nothing traded that day so far
    assert values[3] == pytest.approx(50.0)


@pytest.mark.parametrize("name", KINDS)
def test_every_indicator_has_values_after_its_warm_up_and_none_before(name: str) -> None:
    indicator = parse_indicator(name)
    candles = [candle(n, 50 + 10 * np.sin(n / 7)) for n in range(indicator.needs - 1, -1, -1)]
    few = indicator.compute(Series.of(candles[:-1]))
    enough = indicator.compute(Series.of(candles))
    assert list(few) == list(enough)
    for line in few.values():
        assert np.isnan(line).all() or name in ("VWAP", "OBV")
    assert any(not np.isnan(line[-1]) for line in enough.values())
    assert indicator.warm_up(MINUTE_US) >= 0
    assert name in examples()
    assert set(MOVING_AVERAGES) <= set(KINDS)
