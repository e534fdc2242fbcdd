"""Rollups are the same numbers whichever way and in whatever order the minutes came."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.candle_builder import candles_from_trades
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade
from coinwatch.times import DAY_US, MINUTE_US, from_datetime, now_us
from coinwatch.windows import Window
from tests.warehouse.conftest import MARKET
from warehouse.candles.rollups import ROLLUPS, RolledUp, roll_up, rollups_due
from warehouse.candles.store import CANDLES, CandlesNotice, store
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets

DAY_START_US = 20_000 * DAY_US
DAY = Window(DAY_START_US, DAY_START_US + DAY_US)

Conn = psycopg.AsyncConnection[Any]


def trades_of_a_day(seed: int, start_us: int = DAY_START_US) -> list[Trade]:
    """Amounts and prices with as many digits as exchanges send; many minutes have none."""
    chance = random.Random(seed)
    times = sorted(chance.randrange(DAY_US) for _ in range(1_500))
    return [
        Trade(
            MARKET,
            number,
            start_us + at_us,
            chance.randrange(1, 10**7) / 100,
            chance.randrange(1, 10**8) / 10**6,
            taker_buys=True,
        )
        for number, at_us in enumerate(times)
    ]


async def rolled_up(conn: Conn) -> dict[Interval, list[Candle]]:
    cursor = await conn.execute(
        "select interval, open_ts, open, high, low, close, volume, quote_volume, trades from candles"
        " where source = 'rollup' order by open_ts"
    )
    rollups: dict[Interval, list[Candle]] = {interval: [] for interval in ROLLUPS}
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
    for name, open_ts, *values in await cursor.fetchall():
        interval = Interval(name)
        numbers = dict(zip(names, values, strict=True))
        rollups[interval].append(
            Candle(market=MARKET, interval=interval, open_ts_us=from_datetime(open_ts), **numbers)
        )
    return rollups


def without_quote(candles: list[Candle]) -> list[Candle]:
    """Quote volumes of minutes are rounded before they are summed."""
    return [msgspec.structs.replace(candle, quote_volume=None) for candle in candles]


async def roll_all_up(conn: Conn) -> list[RolledUp]:
    return [await roll_up(conn, interval) for interval in ROLLUPS]


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_arrival_gives_the_candles_of_the_trades(
    conn: Conn, market_id: int, seed: int
) -> None:
    trades = trades_of_a_day(seed)
    minutes = candles_from_trades(Interval.M1, trades)
    chance = random.Random(seed)
    hours = list(DAY.pieces(60 * MINUTE_US))
    chance.shuffle(hours)
    for hour in hours:
        of_hour = [candle for candle in minutes if hour.start_us <= candle.open_ts_us < hour.end_us]
        chance.shuffle(of_hour)
        await store(conn, market_id, Interval.M1, of_hour, [hour])
        if chance.random() < 0.3:
            await roll_all_up(conn)
    await roll_all_up(conn)
    rollups = await rolled_up(conn)
    for interval in ROLLUPS:
        assert without_quote(rollups[interval]) == without_quote(candles_from_trades(interval, trades))
    assert await rollups_due(conn) == 0
    assert await roll_all_up(conn) == [RolledUp(0, 0, 0)] * len(ROLLUPS)


async def test_only_changed_candles_are_recomputed(conn: Conn, market_id: int) -> None:
    minutes = candles_from_trades(Interval.M1, trades_of_a_day(1))
    await store(conn, market_id, Interval.M1, minutes, [DAY])
    await roll_all_up(conn)

    late = msgspec.structs.replace(minutes[700], volume=minutes[700].volume + 1)
    span = Window(late.open_ts_us, late.open_ts_us + MINUTE_US)
    await store(conn, market_id, Interval.M1, [late], [span])
    assert await rollups_due(conn) == 1
    assert await roll_all_up(conn) == [RolledUp(0, 1, 0)] * len(ROLLUPS)
    revised = await (
        await conn.execute("select interval, revision from candles where revision > 0 order by open_ts")
    ).fetchall()
    assert sorted(revised) == sorted([("1m", 1), *((interval.value, 1) for interval in ROLLUPS)])


async def test_a_rollup_whose_minutes_are_withdrawn_goes(conn: Conn, market_id: int) -> None:
    minutes = candles_from_trades(Interval.M1, trades_of_a_day(1))
    await store(conn, market_id, Interval.M1, minutes, [DAY])
    await roll_all_up(conn)
    hour = Window(DAY_START_US, DAY_START_US + 60 * MINUTE_US)
    await store(conn, market_id, Interval.M1, [], [hour])
    done = dict(zip(ROLLUPS, await roll_all_up(conn), strict=True))
    assert done[Interval.H1] == RolledUp(0, 0, 1)
    assert done[Interval.D1] == RolledUp(0, 1, 0)
    rollups = await rolled_up(conn)
    assert all(candle.open_ts_us >= hour.end_us for candle in rollups[Interval.M5])


async def test_an_interval_that_is_not_over_waits(conn: Conn, market_id: int) -> None:
    """The day of now has minutes, its longer candles are made when they end."""
    now = now_us()
    last = Interval.M1.floor(now) - MINUTE_US
    day = Window(Interval.D1.floor(last), last + MINUTE_US)
    candle = candles_from_trades(Interval.M1, [Trade(MARKET, 1, last, 5.0, 1.0, taker_buys=True)])
    await store(conn, market_id, Interval.M1, candle, [day])
    await roll_all_up(conn)
    rollups = await rolled_up(conn)
    for interval in ROLLUPS:
        assert all(candle.open_ts_us + interval.us <= now_us() for candle in rollups[interval])
    due = await (await conn.execute("select upper(due) from candle_rollups where interval = '1d'")).fetchone()
    if Interval.D1.floor(now) == Interval.D1.floor(now_us()) == day.start_us:
        assert due is not None
        assert from_datetime(due[0]) == day.end_us
        assert rollups[Interval.D1] == []


async def test_unknown_counts_stay_unknown(conn: Conn, market_id: int) -> None:
    minutes = [
        msgspec.structs.replace(candle, quote_volume=None if number else 1.0, trades=None if number else 1)
        for number, candle in enumerate(candles_from_trades(Interval.M1, trades_of_a_day(2)))
    ]
    await store(conn, market_id, Interval.M1, minutes, [DAY])
    await roll_all_up(conn)
    [day] = (await rolled_up(conn))[Interval.D1]
    assert (day.quote_volume, day.trades) == (None, None)


async def test_listeners_hear_of_rollups(conn: Conn, market_id: int, database: URL) -> None:
    await store(conn, market_id, Interval.M1, candles_from_trades(Interval.M1, trades_of_a_day(1)), [DAY])
    async with await connect(database, application_name="listener") as listener:
        await listener.execute(f"listen {CANDLES}")
        await roll_up(conn, Interval.D1)
        async for heard in listener.notifies(timeout=10, stop_after=1):
            notice = msgspec.json.decode(heard.payload, type=CandlesNotice)
            assert notice == CandlesNotice(market_id, Interval.D1, DAY.start_us, DAY.end_us)
            return
    raise AssertionError("nothing was heard")


async def test_stores_beside_a_rollup_are_never_missed(database: URL, conn: Conn) -> None:
    """Many stores of several markets while rollups run all the time: in the end nothing is stale."""
    markets = [Market.canonical(f"binance:A{number}-USDT") for number in range(4)]
    ids = await ensure_markets(conn, {market: str(market) for market in markets})
    minutes = candles_from_trades(Interval.M1, trades_of_a_day(3))
    stored = asyncio.Event()

    async def write(turn: int) -> None:
        chance = random.Random(turn)
        async with await connect(database, application_name="writer") as writer:
            for _ in range(25):
                candle = chance.choice(minutes)
                grown = msgspec.structs.replace(candle, volume=candle.volume + chance.randrange(100))
                span = Window(candle.open_ts_us, candle.open_ts_us + MINUTE_US)
                await store(writer, ids[chance.choice(markets)], Interval.M1, [grown], [span])

    async def roll() -> None:
        async with await connect(database, application_name="roller") as roller:
            while not stored.is_set():
                await roll_all_up(roller)

    rolling = [asyncio.create_task(roll()) for _ in range(2)]
    await asyncio.gather(*(write(turn) for turn in range(3)))
    stored.set()
    await asyncio.gather(*rolling)
    await roll_all_up(conn)
    stale = await (
        await conn.execute(
            "select count(*) from candles day where day.interval = '1d' and day.volume <> ("
            " select sum(volume::numeric)::float8 from candles candle"
            " where candle.market_id = day.market_id and candle.interval = '1m')"
        )
    ).fetchone()
    assert stale == (0,)
    assert await rollups_due(conn) == 0
