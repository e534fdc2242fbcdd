"""Binance's frames and answers, with its order of fields and rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coinwatch.times import MINUTE_US
from simulator.exchanges.base import Day, Row, encode
from simulator.markets import SimMarket

_FALSE_OR_TRUE = ("false", "true")


def agg_trade_frame(native: str, trade: Row, event_ms: int) -> str:
    """A frame of the stream of aggregated trades."""
    return (
        f'{{"e":"aggTrade","E":{event_ms},"s":"{native}","a":{trade.trade_id},"p":"{trade.price:.8f}",'
        f'"q":"{trade.amount:.8f}","f":{trade.trade_id},"l":{trade.trade_id},"T":{trade.ts_us // 1_000},'
        f'"m":{_FALSE_OR_TRUE[not trade.taker_buys]},"M":true}}'
    )


def trade_frame(native: str, trade: Row, event_ms: int) -> str:
    """A frame of the stream of trades."""
    buyer, seller = trade.trade_id * 10 + 3, trade.trade_id * 10 + 7
    return (
        f'{{"e":"trade","E":{event_ms},"s":"{native}","t":{trade.trade_id},"p":"{trade.price:.8f}",'
        f'"q":"{trade.amount:.8f}","b":{buyer},"a":{seller},"T":{trade.ts_us // 1_000},'
        f'"m":{_FALSE_OR_TRUE[not trade.taker_buys]},"M":true}}'
    )


def agg_trade_row(trade: Row) -> bytes:
    """One of ``aggTrades``."""
    return (
        f'{{"a":{trade.trade_id},"p":"{trade.price:.8f}","q":"{trade.amount:.8f}","f":{trade.trade_id},'
        f'"l":{trade.trade_id},"T":{trade.ts_us // 1_000},'
        f'"m":{_FALSE_OR_TRUE[not trade.taker_buys]},"M":true}}'
    ).encode()


def trade_rows(trades: Sequence[Row]) -> bytes:
    """The answer of ``trades`` and ``historicalTrades``."""
    return encode(
        [
            {
                "id": trade.trade_id,
                "price": f"{trade.price:.8f}",
                "qty": f"{trade.amount:.8f}",
                "quoteQty": f"{trade.price * trade.amount:.8f}",
                "time": trade.ts_us // 1_000,
                "isBuyerMaker": not trade.taker_buys,
                "isBestMatch": True,
            }
            for trade in trades
        ]
    )


def kline(row: dict[str, Any], each_ms: int) -> bytes:
    """A candle of ``klines``."""
    open_ms = row["minute"] * (MINUTE_US // 1_000)
    return (
        f'[{open_ms},"{row["open"]:.8f}","{row["high"]:.8f}","{row["low"]:.8f}","{row["close"]:.8f}",'
        f'"{row["volume"]:.8f}",{open_ms + each_ms - 1},"{row["quote_volume"]:.8f}",{row["trades"]},'
        f'"{row["buy_volume"]:.8f}","{row["buy_quote_volume"]:.8f}","0"]'
    ).encode()


def ticker(native: str, day: Day) -> dict[str, Any]:
    """A market of ``ticker/24hr``, in the short form."""
    prices = {"openPrice": day.open, "highPrice": day.high, "lowPrice": day.low, "lastPrice": day.last}
    figures = {**prices, "volume": day.volume, "quoteVolume": day.quote_volume}
    return {"symbol": native, **{name: f"{x:.8f}" for name, x in figures.items()}, "count": day.trades}


def symbol_info(native: str, market: SimMarket) -> dict[str, Any]:
    """A market of ``exchangeInfo``."""
    price_step, amount_step = f"{market.price_step:.8f}", f"{market.amount_step:.8f}"
    return {
        "symbol": native,
        "status": "TRADING",
        "baseAsset": market.market.symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.market.symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": price_step,
                "maxPrice": "1000000.00000000",
                "tickSize": price_step,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": amount_step,
                "maxQty": "9000.00000000",
                "stepSize": amount_step,
            },
        ],
        "permissions": ["SPOT", "MARGIN"],
    }
