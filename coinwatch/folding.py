"""Candles from trades."""

from __future__ import annotations

from collections.abc import Iterable

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Trade


def candles_from_trades(interval: Interval, trades: Iterable[Trade]) -> list[Candle]:
    """Fold the trades of one market, given in the order they happened, into candles by open time.

    An interval without a trade has no candle. Volumes are summed in the order of the trades, so the
    same trades always give the same bits.
    """
    candles: list[Candle] = []
    together: list[Trade] = []
    open_ts_us = close_ts_us = 0
    for trade in trades:
        if together and not open_ts_us <= trade.ts_us < close_ts_us:
            candles.append(_candle(interval, open_ts_us, together))
            together = []
        if not together:
            open_ts_us = interval.floor(trade.ts_us)
            close_ts_us = open_ts_us + interval.us
        together.append(trade)
    if together:
        candles.append(_candle(interval, open_ts_us, together))
    return candles


def _candle(interval: Interval, open_ts_us: int, trades: list[Trade]) -> Candle:
    volume = quote_volume = 0.0
    for trade in trades:
        volume += trade.amount
        quote_volume += trade.price * trade.amount
    prices = [trade.price for trade in trades]
    return Candle(
        market=trades[0].market,
        interval=interval,
        open_ts_us=open_ts_us,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume,
        quote_volume=quote_volume,
        trades=len(trades),
    )
