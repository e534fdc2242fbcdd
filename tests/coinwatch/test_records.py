"""Records are valid from birth."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Side, Trade

MARKET = Market.canonical("kraken:BTC-EUR")
GOOD: dict[str, Any] = {
    "market": MARKET,
    "interval": Interval.M1,
    "open_ts_us": 60_000_000,
    "open": 2.0,
    "high": 3.0,
    "low": 1.0,
    "close": 2.5,
    "volume": 0.0,
}


def test_a_possible_candle_is_accepted() -> None:
    assert Candle(**GOOD).quote_volume is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"open_ts_us": 60_000_001},
        {"high": 1.5},
        {"low": 2.2},
        {"low": 0.0},
        {"low": -1.0},
        {"volume": -1.0},
        {"volume": math.nan},
        {"volume": math.inf},
        {"high": math.inf},
        {"open": math.nan},
        {"close": math.nan},
    ],
)
def test_an_impossible_candle_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"candle"):
        Candle(**{**GOOD, **wrong})


def test_side_is_the_takers() -> None:
    trade = Trade(MARKET, 1, 2, 3.0, 4.0, True)
    assert (trade.side, Trade(MARKET, 1, 2, 3.0, 4.0, False).side) == (Side.BUY, Side.SELL)


@given(st.sampled_from(Interval), st.integers(0, 4_000_000_000_000_000))
def test_intervals_share_one_grid(interval: Interval, ts_us: int) -> None:
    opened = interval.floor(ts_us)
    assert opened <= ts_us < opened + interval.us
    assert opened % interval.us == 0
    assert interval.ceil(ts_us) in (opened, opened + interval.us)


def test_an_unknown_interval_lists_the_known_ones() -> None:
    assert Interval.parse(" 1H ") is Interval.H1
    with pytest.raises(CoinwatchError, match="1m, 5m, 15m, 1h, 4h, 1d"):
        Interval.parse("2m")
