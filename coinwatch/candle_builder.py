"""Candles built from trades. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Trade


def candles_from_trades(interval: Interval, trades: Iterable[Trade]) -> list[Candle]:
    """Build candles, ordered by open time, from the trades of one market in the order they happened.

    An interval without a trade has no candle. Volumes are summed as the decimals that the exchange
    sent, so they equal those of its own candle to the last bit.
    """
    candles: list[Candle] = []
    current: list[Trade] = []
    open_ts_us = close_ts_us = 0
    for trade in trades:
        if current and not open_ts_us <= trade.ts_us < close_ts_us:
            candles.append(_candle(interval, open_ts_us, current))
            current = []
        if not current:
            open_ts_us = interval.floor(trade.ts_us)
            close_ts_us = open_ts_us + interval.us
        current.append(trade)
    if current:
        candles.append(_candle(interval, open_ts_us, current))
    return candles


def _candle(interval: Interval, open_ts_us: int, trades: list[Trade]) -> Candle:
    prices = [trade.price for trade in trades]
    volume = quote_volume = Decimal(0)
    for trade in trades:
        # A float's repr is the shortest decimal that parses to it: the exchange's own text.
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
