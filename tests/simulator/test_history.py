"""What REST is answered from: cached candles, trades by id and time, nothing later than now."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coinwatch.records import Market
from coinwatch.times import MINUTE_US
from simulator.history import History
from simulator.truth import (
    GENESIS_MINUTE,
    SimMarket,
    sim_markets,
    trades_before,
    trades_in_minute,
    trades_in_minutes,
)

MARKETS = sim_markets(40)
BUSY = MARKETS[Market.canonical("binance:BTC-USDT")]
QUIET = MARKETS[Market.canonical("coinbase:LTC-EUR")]
NOW_MINUTE = 29_400_017
NOW_US = NOW_MINUTE * MINUTE_US + 33_123_456


@pytest.mark.parametrize("sim", [BUSY, QUIET], ids=["busy", "quiet"])
@pytest.mark.parametrize("minutes_each", [1, 5, 60, 1_440])
def test_candles_are_trades_folded(sim: SimMarket, minutes_each: int) -> None:
    open_minute = NOW_MINUTE // minutes_each * minutes_each
    candles = History().candles(sim, minutes_each, open_minute - 2 * minutes_each, open_minute + 999, NOW_US)
    assert candles.open_minute.tolist() == [
        open_minute - 2 * minutes_each + i * minutes_each for i in range(3)
    ]
    for row, first in enumerate(candles.open_minute.tolist()):
        trades = trades_in_minutes(sim, first, minutes_each)
        price = np.rint(trades.price[trades.ts_us <= NOW_US] * 10**sim.price_decimals)
        assert candles.rows.trades[row] == len(price)
        if len(price):
            folded = (price[0], price.max(), price.min(), price[-1])
        else:
            before = History().last_trades(sim, 1, trades_before(sim, first)).price[0]
            folded = (round(before * 10**sim.price_decimals),) * 4
        rows = candles.rows
        assert (rows.open[row], rows.high[row], rows.low[row], rows.close[row]) == folded


def test_nothing_before_the_first_trade_nor_after_now() -> None:
    history = History()
    candles = history.candles(BUSY, 1, GENESIS_MINUTE - 5, GENESIS_MINUTE + 1, NOW_US)
    assert candles.open_minute.tolist() == [GENESIS_MINUTE, GENESIS_MINUTE + 1]
    assert not len(history.candles(BUSY, 1, NOW_MINUTE + 1, NOW_MINUTE + 9, NOW_US).open_minute)


def test_the_cache_changes_nothing_and_is_bounded() -> None:
    small, large = History(pieces_kept=2), History()
    for start in (0, 700, 100, 0, 700):
        first = NOW_MINUTE - 5_000 + start
        first_rows, second_rows = (
            history.candles(BUSY, 1, first, first + 500, NOW_US) for history in (small, large)
        )
        for field in ("open", "close", "volume", "trades"):
            assert np.array_equal(getattr(first_rows.rows, field), getattr(second_rows.rows, field))
    assert len(small._pieces) == 2


@given(st.sampled_from([BUSY, QUIET]), st.integers(GENESIS_MINUTE, NOW_MINUTE), st.integers(0, MINUTE_US - 1))
@settings(max_examples=40, deadline=None)
def test_trades_by_id_and_by_time(sim: SimMarket, minute: int, offset_us: int) -> None:
    history = History()
    ts_us = minute * MINUTE_US + offset_us
    last = history.last_id(sim, ts_us)
    assert history.first_id_from(sim, ts_us + 1) == last + 1
    in_minute = trades_in_minute(sim, minute)
    assert last == trades_before(sim, minute) + int((in_minute.ts_us <= ts_us).sum())
    trades = history.last_trades(sim, 50, last)
    assert trades.trade_id.tolist() == list(range(max(last - 49, 1), last + 1))
    assert np.all(trades.ts_us <= ts_us)
    coming = history.trades(sim, last + 1, last + 5)
    assert coming.trade_id.tolist() == list(range(last + 1, last + 6))
    assert np.all(coming.ts_us > ts_us)
