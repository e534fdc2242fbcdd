"""Candles of our own trades: only of minutes heard from end to end."""

from __future__ import annotations

from typing import Any

import psycopg

from coinwatch.candle_builder import candles_from_trades
from coinwatch.intervals import Interval
from coinwatch.records import Trade
from coinwatch.times import to_datetime, utc_day
from tests.warehouse.conftest import MARKET, START_US, minutes
from warehouse.candles.from_trades import candles_from_ticks
from warehouse.candles.rollups import rollups_due
from warehouse.candles.store import store
from warehouse.db.partitions import ensure_tick_days

Conn = psycopg.AsyncConnection[Any]


TRADES = [
    Trade(
        MARKET, number, START_US + number * 7_000_000, round(100.1 + number % 5 / 10, 1), 0.1, taker_buys=True
    )
    for number in range(1, 100)
]
"""Every seven seconds, the first in the middle of minute 0."""


async def stored_trades(conn: Conn, market_id: int, trades: list[Trade]) -> None:
    await ensure_tick_days(conn, {utc_day(START_US)})
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    market_id,
                    candle.trade_id,
                    to_datetime(candle.ts_us),
                    utc_day(candle.ts_us),
                    candle.price,
                    candle.amount,
                    True,
                )
                for candle in trades
            ],
        )


async def candles(conn: Conn) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        "select open_ts, open, high, low, close, volume, quote_volume, trades, source from candles"
        " order by open_ts"
    )
    return await cursor.fetchall()


async def test_they_are_those_of_the_trades(conn: Conn, market_id: int) -> None:
    """Except the minute of the first trade, which was not received completely."""
    await stored_trades(conn, market_id, TRADES)
    assert await candles_from_ticks(conn, [market_id], minutes(0, 11)) == 10
    expected = [
        (
            to_datetime(c.open_ts_us),
            c.open,
            c.high,
            c.low,
            c.close,
            c.volume,
            c.quote_volume,
            c.trades,
            "ticks",
        )
        for c in candles_from_trades(Interval.M1, TRADES)[1:11]
    ]
    assert await candles(conn) == expected
    assert await candles_from_ticks(conn, [market_id], minutes(0, 11)) == 0, "a repeat changes nothing"
    assert await rollups_due(conn) == 1


async def test_a_minute_that_was_not_heard_from_end_to_end_has_none(conn: Conn, market_id: int) -> None:
    await stored_trades(conn, market_id, TRADES)
    for state, first_s, last_s in (("unfillable", 130, 190), ("filled", 310, 320), ("open", 540, None)):
        await conn.execute(
            "insert into stream_gaps (market_id, daemon, cause, state, after_ts, before_ts, closed_at)"
            " values (%s, 'x', 'disconnected', %s, %s, %s, case when %s <> 'open' then now() end)",
            (
                market_id,
                state,
                to_datetime(START_US + first_s * 1_000_000),
                None if last_s is None else to_datetime(START_US + last_s * 1_000_000),
                state,
            ),
        )
    await candles_from_ticks(conn, [market_id], minutes(0, 11))
    opened = [(ts - to_datetime(START_US)).seconds // 60 for ts, *_ in await candles(conn)]
    assert opened == [1, 4, 5, 6, 7, 8], "2 and 3 lie in what was lost, 9 and later in what is not over"


async def test_the_exchange_is_not_overruled_and_late_trades_count(conn: Conn, market_id: int) -> None:
    await stored_trades(conn, market_id, TRADES[:30])
    [confirmed] = [
        candle
        for candle in candles_from_trades(Interval.M1, TRADES)
        if candle.open_ts_us == minutes(1, 2).start_us
    ]
    await store(conn, market_id, Interval.M1, [confirmed], [minutes(1, 2)])
    assert await candles_from_ticks(conn, [market_id], minutes(1, 4)) == 2
    await stored_trades(conn, market_id, TRADES[30:])
    assert await candles_from_ticks(conn, [market_id], minutes(1, 4)) == 1, "of minute 3 there were more"
    assert [row[-1] for row in await candles(conn)] == ["exchange", "ticks", "ticks"]
