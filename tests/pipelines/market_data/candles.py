"""Stored candles that set the price of a base."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import psycopg

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, now_us, to_datetime
from simulator.providers.coins import sim_coins
from warehouse.db.partitions import ensure_candle_months
from warehouse.markets import ensure_markets

Conn = psycopg.AsyncConnection[Any]


async def trade(conn: Conn, prices: Mapping[str, float]) -> None:
    """Store a candle of each pair on Binance, as if it had just closed at this price."""
    at = to_datetime(now_us() // MINUTE_US * MINUTE_US - MINUTE_US)
    await ensure_candle_months(conn, {date(at.year, at.month, 1)})
    markets = {Market.canonical(f"binance:{pair}"): price for pair, price in prices.items()}
    ids = await ensure_markets(conn, {market: str(market.symbol) for market in markets})
    for market, price in markets.items():
        await conn.execute(
            "insert into candles (market_id, interval, open_ts, open, high, low, close, volume)"
            " values (%s, '1m', %s, %s, %s, %s, %s, 1)"
            " on conflict (market_id, interval, open_ts)"
            " do update set (open, high, low, close)"
            " = (excluded.open, excluded.high, excluded.low, excluded.close)",
            (ids[market], at, price, price, price, price),
        )


async def trade_as_simulated(conn: Conn) -> None:
    """BTC, ETH, SOL and LINK at the prices of the simulated providers."""
    coins = {coin.symbol: coin for coin in reversed(sim_coins().values())}
    await trade(conn, {f"{base}-USDT": coins[base].price(now_us()) for base in ("BTC", "ETH", "SOL", "LINK")})
