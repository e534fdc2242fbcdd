"""Records made of the rows of REST answers."""

from __future__ import annotations

import pytest

from coinwatch.errors import BadMessage
from coinwatch.intervals import Interval
from coinwatch.records import Market, MarketStatus
from coinwatch.times import MINUTE_US
from sources.rows import BadCandles, CandleRow, TradeRow, candles, instrument, instruments, trades, volumes
from sources.wire import LATEST_US

MARKET = Market.canonical("okx:BTC-USDT")


def row(minute: int, *, low: float = 1.0, close: float = 2.0) -> CandleRow:
    return CandleRow(minute * MINUTE_US, 2.0, 3.0, low, close, 5.0)


def test_candles_are_sorted_and_the_later_duplicate_wins() -> None:
    made = candles(MARKET, Interval.M1, [row(2), row(1), row(2, close=3.0)], b"")
    assert [(candle.open_ts_us // MINUTE_US, candle.close) for candle in made] == [(1, 2.0), (2, 3.0)]


def test_impossible_candles_do_not_affect_the_others() -> None:
    with pytest.raises(BadCandles, match="and 1 more") as raised:
        candles(MARKET, Interval.M1, [row(1, low=9.0), row(2), row(3, low=-1.0)], b"")
    assert [candle.open_ts_us for candle in raised.value.good] == [2 * MINUTE_US]
    assert raised.value.bad_ts_us == {MINUTE_US, 3 * MINUTE_US}


def test_a_candle_out_of_time_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="candle at"):
        candles(MARKET, Interval.M1, [row(LATEST_US)], b"")


def test_an_impossible_trade_is_a_bad_message() -> None:
    assert [trade.price for trade in trades(MARKET, [TradeRow(1, 1, 2.0, 3.0, True)], b"")] == [2.0]
    with pytest.raises(BadMessage, match="trade 1 has impossible numbers"):
        trades(MARKET, [TradeRow(1, 1, -2.0, 3.0, True)], b"")


def test_of_two_listings_the_active_one_is_kept() -> None:
    old, new = (
        instrument("okx", "BTC", "USDT", name, active=active, price_step=None, amount_step=None)
        for name, active in (("OLD", False), ("NEW", True))
    )
    odd = instrument("okx", "TSLAx", "USDT", "TSLAx", active=True, price_step=None, amount_step=None)
    assert odd is None
    for order in ([old, new, odd], [new, old]):
        (kept,) = instruments(order)
        assert (kept.native, kept.status) == ("NEW", MarketStatus.ACTIVE)


def test_unreadable_and_implausible_volumes_are_left_out() -> None:
    rows = ["a=1", "b=-1", "c=1e30", "d=x"]

    def parse(text: str) -> tuple[str, float]:
        name, _, value = text.partition("=")
        return name, float(value)

    assert volumes("okx", rows, parse, b"") == {"a": 1.0}
    assert volumes("okx", [], parse, b"") == {}
    with pytest.raises(BadMessage, match="none of 3 tickers"):
        volumes("okx", rows[1:], parse, b"")


@pytest.mark.parametrize("native", ["", "BTC\0USDT", "BTC\nUSDT", "x" * 65, "b\u00e9"])
def test_a_market_that_cannot_be_stored_is_left_out(native: str) -> None:
    listed = {"active": True, "price_step": None, "amount_step": None}
    assert instrument("okx", "BTC", "USDT", native, **listed) is None  # type: ignore[arg-type]
    assert instrument("okx", "BTC", "USDT", "BTC-USDT", **listed) is not None  # type: ignore[arg-type]
