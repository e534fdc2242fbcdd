"""Reads of what a test stored."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from coinwatch.records import Market, Trade
from coinwatch.times import from_datetime


async def rows(conn: AsyncConnection[Any], query: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows that ``query`` returns."""
    return await (await conn.execute(query, values or None)).fetchall()


async def stored_trades(conn: AsyncConnection[Any], market_id: int) -> list[Trade]:
    """Every stored trade of a market, by time and id."""
    cursor = await conn.execute(
        "select exchange || ':' || symbol, trade_id, ts, price, amount, taker_buys"
        " from ticks join markets on markets.id = market_id where market_id = %s order by ts, trade_id",
        (market_id,),
    )
    return [
        Trade(Market.canonical(market), trade_id, from_datetime(ts), price, amount, taker_buys)
        for market, trade_id, ts, price, amount, taker_buys in await cursor.fetchall()
    ]
