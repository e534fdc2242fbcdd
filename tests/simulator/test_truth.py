"""The truth: pure, random access, consecutive, plausible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coinwatch.errors import CoinwatchError
from coinwatch.records import Market
from coinwatch.settings import DEFAULT_MARKETS
from coinwatch.times import MINUTE_US
from simulator.truth import (
    GENESIS_MINUTE,
    SimMarket,
    SimTrades,
    candle_in_minute,
    minute_candles,
    sim_markets,
    trades_before,
    trades_in_minute,
    trades_in_minutes,
)

MARKETS = sim_markets(40)
markets = st.sampled_from(sorted(MARKETS)).map(MARKETS.__getitem__)
minutes = st.integers(GENESIS_MINUTE - 3, 40_000_000)
FIELDS = SimTrades.__struct_fields__
NOON = 29_400_000


def same(trades: SimTrades, other: SimTrades) -> bool:
    return all(np.array_equal(getattr(trades, field), getattr(other, field)) for field in FIELDS)


def test_covers_the_default_markets_and_the_asked_rate() -> None:
    assert set(DEFAULT_MARKETS) <= set(MARKETS)
    assert sum(market.trades_per_s for market in MARKETS.values()) == pytest.approx(40)
    days = {trades_before(market, NOON + 1_440) - trades_before(market, NOON) for market in MARKETS.values()}
    made = sum(trades_before(sim, NOON + 1_440) - trades_before(sim, NOON) for sim in MARKETS.values())
    assert made == pytest.approx(40 * 86_400, rel=0.01)
    assert min(days) < 60 * 24 < max(days)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), 2e6])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(CoinwatchError, match="trades a second"):
        sim_markets(rate)


@given(markets, minutes)
@settings(max_examples=60, deadline=None)
def test_trades_of_a_minute(market: SimMarket, minute: int) -> None:
    trades = trades_in_minute(market, minute)
    assert same(trades, trades_in_minute(market, minute))
    before = trades_before(market, minute)
    assert trades.trade_id.tolist() == list(range(before + 1, trades_before(market, minute + 1) + 1))
    assert np.all(trades.ts_us // MINUTE_US == minute)
    assert np.all(np.diff(trades.ts_us) >= 0)
    assert np.all(trades.ts_us % market.time_step_us == 0)
    assert np.all(trades.price > 0)
    assert np.all(trades.amount > 0)
    if minute < GENESIS_MINUTE:
        assert not len(trades)
    for trade in trades.records(market):  # what is written as decimal text is read as the same number
        assert float(f"{trade.price:.{market.price_decimals}f}") == trade.price
        assert float(f"{trade.amount:.{market.amount_decimals}f}") == trade.amount


@given(markets, minutes, st.integers(1, 400), st.data())
@settings(max_examples=40, deadline=None)
def test_many_minutes_at_once_are_the_same_as_each_alone(
    market: SimMarket, first: int, count: int, data: st.DataObject
) -> None:
    together = trades_in_minutes(market, first, count)
    minute = data.draw(st.integers(first, first + count - 1))
    alone = trades_in_minute(market, minute)
    start = trades_before(market, minute) - trades_before(market, first)
    assert same(together.part(start, start + len(alone)), alone)
    assert len(together) == trades_before(market, first + count) - trades_before(market, first)


@given(markets, minutes)
@settings(max_examples=60, deadline=None)
def test_a_candle_is_its_trades_folded(market: SimMarket, minute: int) -> None:
    trades, candle = trades_in_minute(market, minute), candle_in_minute(market, minute)
    if candle is None:
        assert not len(trades)
        return
    assert (candle.open, candle.close) == (trades.price[0], trades.price[-1])
    assert (candle.high, candle.low) == (trades.price.max(), trades.price.min())
    assert candle.trades == len(trades)
    assert candle.volume == pytest.approx(trades.amount.sum())
    assert candle.quote_volume == pytest.approx((trades.amount * trades.price).sum())


def test_a_candle_cut_short_holds_the_trades_so_far() -> None:
    market = MARKETS[Market.canonical("binance:BTC-USDT")]
    trades = trades_in_minute(market, NOON)
    for known in (0, 1, len(trades) // 2, len(trades)):
        until_us = NOON * MINUTE_US - 1 if known == 0 else int(trades.ts_us[known - 1])
        so_far = trades.price[trades.ts_us <= until_us]
        row = minute_candles(market, NOON, 1, until_us=until_us)
        assert row.trades[0] == len(so_far)
        if len(so_far):
            assert row.close[0] == round(so_far[-1] * 100)
            assert row.high[0] == round(so_far.max() * 100)


def test_exchanges_and_quotes_agree_within_a_few_basis_points() -> None:
    day = {
        name: minute_candles(market, NOON, 1_440).close / 10**market.price_decimals
        for name, market in ((str(market), sim) for market, sim in MARKETS.items())
        if name.partition(":")[2] in ("BTC-USDT", "BTC-USD", "BTC-USDC")
    }
    first = day.pop("binance:BTC-USDT")
    for prices in day.values():
        both = (prices > 0) & (first > 0)
        assert np.abs(np.log(prices[both] / first[both])).max() < 0.006
        assert np.abs(np.median(np.log(prices[both] / first[both]))) < 0.002


def test_prices_move_like_prices() -> None:
    market = sim_markets(4)[Market.canonical("binance:BTC-USDT")]
    closes = minute_candles(market, NOON, 20_000).close
    moves = np.diff(np.log(closes[closes > 0]))
    a_year = moves.std() * np.sqrt(525_600)
    assert 0.3 < a_year < 1.2
    hourly = np.abs(moves[: len(moves) // 60 * 60]).reshape(-1, 60).mean(axis=1)
    assert hourly.max() / hourly.min() > 2  # calm and wild hours
    assert np.corrcoef(hourly[:-1], hourly[1:])[0, 1] > 0.3  # that last


def test_amounts_have_a_heavy_tail_and_orders_fill_several_trades() -> None:
    market = MARKETS[Market.canonical("binance:ETH-USDT")]
    trades = trades_in_minutes(market, NOON, 600)
    assert trades.amount.max() > 200 * np.median(trades.amount)
    assert 0.2 < np.mean(np.diff(trades.ts_us) == 0) < 0.5
    assert 0.4 < trades.taker_buys.mean() < 0.6


def test_quiet_markets_have_empty_minutes() -> None:
    market = MARKETS[Market.canonical("coinbase:LTC-EUR")]
    counts = minute_candles(market, NOON, 2_000).trades
    assert 0.4 < np.mean(counts == 0) < 0.95
    assert counts.max() > 1
