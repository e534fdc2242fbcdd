"""Candles from trades."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Trade


def candles_from_trades(interval: Interval, trades: Iterable[Trade]) -> list[Candle]:
    """Fold the trades of one market, given in the order they happened, into candles by open time.

    An interval without a trade has no candle. Volumes are summed as the decimals that the exchange
    sent, so they equal those of its own candle to the last bit.
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
    prices = [trade.price for trade in trades]
    volume = quote_volume = Decimal(0)
    for trade in trades:
        # A float's repr is the shortest decimal that reads back as it: the exchange's own text.
        amount = Decimal(repr(trade.amount))
        volume += amount
        quote_volume += amount * Decimal(repr(trade.price))
    return Candle(
        market=trades[0].market,
        interval=interval,
        open_ts_us=open_ts_us,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=float(volume),
        quote_volume=float(quote_volume),
        trades=len(trades),
    )
