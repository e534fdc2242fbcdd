"""Candles from trades."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from coinwatch.candle_builder import candles_from_trades
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade

MARKET = Market.canonical("kraken:BTC-USDT")
MINUTE = 60_000_000


def trade(ts_us: int, price: float, amount: float = 1.0) -> Trade:
    return Trade(MARKET, ts_us, ts_us, price, amount, True)


def test_minutes_without_a_trade_have_no_candle() -> None:
    trades = [
        trade(10 * MINUTE, 5, 0.1),
        trade(10 * MINUTE + 1, 7, 0.2),
        trade(11 * MINUTE - 1, 6, 0.3),
        trade(13 * MINUTE, 2, 4),
    ]
    assert candles_from_trades(Interval.M1, trades) == [
        Candle(
            market=MARKET,
            interval=Interval.M1,
            open_ts_us=10 * MINUTE,
            open=5,
            high=7,
            low=5,
            close=6,
            volume=0.6,  # 0.1 + 0.2 + 0.3 in floats is 0.6000000000000001
            quote_volume=3.7,
            trades=3,
        ),
        Candle(
            market=MARKET,
            interval=Interval.M1,
            open_ts_us=13 * MINUTE,
            open=2,
            high=2,
            low=2,
            close=2,
            volume=4,
            quote_volume=8,
            trades=1,
        ),
    ]


def test_no_trades_make_no_candles() -> None:
    assert candles_from_trades(Interval.D1, []) == []


@given(
    sent=st.lists(
        st.tuples(st.integers(0, 40 * MINUTE), st.integers(1, 10**9), st.integers(1, 10**12)), max_size=50
    ),
    interval=st.sampled_from([Interval.M1, Interval.M5, Interval.M15]),
)
def test_candles_hold_every_trade_exactly(sent: list[tuple[int, int, int]], interval: Interval) -> None:
    trades = [trade(ts_us, cents / 100, amount / 10**8) for ts_us, cents, amount in sorted(sent)]
    candles = candles_from_trades(interval, trades)
    opens = [candle.open_ts_us for candle in candles]
    assert opens == sorted({interval.floor(ts_us) for ts_us, _, _ in sent})
    for candle in candles:
        inside = [row for row in sent if interval.floor(row[0]) == candle.open_ts_us]
        assert candle.trades == len(inside)
        assert candle.high == max(row[1] for row in inside) / 100
        assert candle.low == min(row[1] for row in inside) / 100
        assert candle.volume == float(Fraction(sum(row[2] for row in inside), 10**8))
        assert candle.quote_volume == float(Fraction(sum(row[1] * row[2] for row in inside), 10**10))
