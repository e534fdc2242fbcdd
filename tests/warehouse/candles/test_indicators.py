"""Stored indicators are those of the whole series, however its candles came."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.indicators import NAMES, WARM_UP, Series, compute
from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.times import DAY_US, MINUTE_US, from_datetime, to_datetime
from coinwatch.windows import Window
from tests.coinwatch.test_indicators import RELATIVE, differences, part, series
from tests.warehouse.conftest import MARKET
from warehouse.candles.indicators import Computed, compute_indicators, indicators_due
from warehouse.candles.rollups import roll_up
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_candle_months, ensure_indicator_months

Conn = psycopg.AsyncConnection[Any]
START_US = 20_000 * DAY_US
M5 = Interval.M5


def moved(whole: Series) -> Series:
    return Series(whole.open_ts_us + START_US, whole.high, whole.low, whole.close, whole.volume)


async def put(conn: Conn, market_id: int, candles: Series) -> None:
    """Store 5m candles as a rollup does, and mark their indicators as due."""
    moments = [to_datetime(int(at_us)) for at_us in candles.open_ts_us]
    await ensure_candle_months(conn, {moment.date() for moment in moments})
    async with conn.transaction():
        await conn.execute(
            """
            insert into candles (market_id, interval, open_ts, open, high, low, close, volume, source)
            select %s, '5m', open_ts, close, high, low, close, volume, 'rollup'
            from unnest(%s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
                 as candle (open_ts, high, low, close, volume)
            on conflict (market_id, interval, open_ts) do update set
                open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
                volume = excluded.volume
            """,
            (
                market_id,
                moments,
                *(column.tolist() for column in (candles.high, candles.low, candles.close, candles.volume)),
            ),
        )
        await due_since(conn, market_id, int(candles.open_ts_us[0]))


async def due_since(conn: Conn, market_id: int, since_us: int) -> None:
    await conn.execute(
        "insert into indicators_due as known (market_id, interval, since) values (%s, '5m', %s)"
        " on conflict (market_id, interval) do update set since = least(known.since, excluded.since)",
        (market_id, to_datetime(since_us)),
    )


async def stored(conn: Conn, market_id: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    cursor = await conn.execute(
        f"select open_ts, {', '.join(NAMES)} from indicators"  # noqa: S608 -- names of columns
        " where market_id = %s and interval = '5m' order by open_ts",
        (market_id,),
    )
    rows = await cursor.fetchall()
    times = np.array([from_datetime(row[0]) for row in rows])
    return times, {
        name: np.array([row[number + 1] for row in rows], dtype=np.float64)
        for number, name in enumerate(NAMES)
    }


async def check(conn: Conn, market_id: int, whole: Series) -> None:
    times, values = await stored(conn, market_id)
    expected = compute(whole)
    assert np.array_equal(times, whole.open_ts_us)
    worst = differences(values, expected)
    for name in ("macd", "macd_signal", "macd_histogram"):
        worst[name] = float(np.nanmax(np.abs(values[name] - expected[name]) / expected["ema_12"], initial=0))
    assert {name: value for name, value in worst.items() if value > RELATIVE} == {}
    assert worst["obv"] == worst["vwap"] == 0


@pytest.mark.parametrize("seed", range(3))
async def test_in_random_slices_it_is_the_whole_series(conn: Conn, market_id: int, seed: int) -> None:
    """Slices in order, then one that was missing, one that is corrected, and candles that are gone."""
    chance = np.random.default_rng(seed)
    whole = moved(series(WARM_UP + 4_000, seed))
    hole = slice(*sorted(chance.integers(WARM_UP, len(whole), 2)))
    known = np.ones(len(whole), dtype=bool)
    known[hole] = False
    edges = [0, *sorted(chance.integers(1, len(whole), 12)), len(whole)]
    for start, end in itertools.pairwise(edges):
        indexes = np.flatnonzero(known[start:end]) + start
        if len(indexes):
            await put(conn, market_id, pick(whole, indexes))
            done = await compute_indicators(conn, market_id, M5)
            assert done == Computed(market_id, M5, len(indexes), len(indexes), 0)
            assert await indicators_due(conn) == []
    await check(conn, market_id, pick(whole, np.flatnonzero(known)))

    if known.all():
        return
    await put(conn, market_id, part(whole, hole.start, hole.stop))
    done = await compute_indicators(conn, market_id, M5)
    assert done is not None
    assert done.computed == len(whole) - hole.start
    await check(conn, market_id, whole)

    corrected = int(chance.integers(0, len(whole)))
    for column in (whole.high, whole.low, whole.close):
        column[corrected] *= 1.01
    await put(conn, market_id, part(whole, corrected, corrected + 1))
    await compute_indicators(conn, market_id, M5)
    await check(conn, market_id, whole)

    gone = np.sort(chance.choice(len(whole), 5, replace=False))
    moments = [to_datetime(int(at_us)) for at_us in whole.open_ts_us[gone]]
    await conn.execute("delete from candles where open_ts = any(%s)", (moments,))
    await due_since(conn, market_id, int(whole.open_ts_us[gone[0]]))
    done = await compute_indicators(conn, market_id, M5)
    assert done is not None
    assert done.deleted == 5
    await check(conn, market_id, pick(whole, np.delete(np.arange(len(whole)), gone)))


def pick(whole: Series, indexes: np.ndarray) -> Series:
    return Series(
        whole.open_ts_us[indexes],
        whole.high[indexes],
        whole.low[indexes],
        whole.close[indexes],
        whole.volume[indexes],
    )


async def test_rolling_up_makes_them_due(conn: Conn, market_id: int) -> None:
    minutes = [
        Candle(
            market=MARKET,
            interval=Interval.M1,
            open_ts_us=START_US + number * MINUTE_US,
            open=float(number + 1),
            high=float(number + 3),
            low=float(number + 1),
            close=float(number + 2),
            volume=1.0,
        )
        for number in range(240)
    ]
    covered = Window(START_US, START_US + 240 * MINUTE_US)
    await store(conn, market_id, Interval.M1, minutes, [covered])
    assert await indicators_due(conn) == []
    for interval in (M5, Interval.H1):
        await roll_up(conn, interval)
    assert await indicators_due(conn) == [(market_id, Interval.H1), (market_id, M5)]
    assert await compute_indicators(conn, market_id, Interval.H1) == Computed(market_id, Interval.H1, 4, 4, 0)
    assert await compute_indicators(conn, market_id, M5) == Computed(market_id, M5, 48, 48, 0)
    assert await compute_indicators(conn, market_id, M5) is None

    # The same again makes nothing due; a late correction does, from there on.
    await store(conn, market_id, Interval.M1, minutes, [covered])
    await roll_up(conn, M5)
    assert await indicators_due(conn) == []
    del minutes[200:205]
    await store(conn, market_id, Interval.M1, minutes, [covered])
    await roll_up(conn, M5)
    cursor = await conn.execute("select market_id, interval, since from indicators_due")
    assert await cursor.fetchall() == [(market_id, "5m", to_datetime(START_US + 200 * MINUTE_US))]
    done = await compute_indicators(conn, market_id, M5)
    assert done is not None
    assert (done.computed, done.deleted) == (7, 1)


async def test_candles_changed_meanwhile_are_due_again(conn: Conn, market_id: int, database: URL) -> None:
    whole = moved(series(300))
    await put(conn, market_id, part(whole, 0, 250))
    async with (
        await connect(database, application_name="changer", autocommit=False) as changer,
        await connect(database, application_name="computer") as computer,
    ):
        await put(changer, market_id, part(whole, 250, 300))  # and does not commit yet
        assert await compute_indicators(computer, market_id, M5) is None
        await changer.commit()
        assert await compute_indicators(computer, market_id, M5) == Computed(market_id, M5, 300, 300, 0)
    await check(conn, market_id, whole)


async def test_several_at_once_share_the_work(conn: Conn, market_id: int, database: URL) -> None:
    await put(conn, market_id, moved(series(3_000)))

    async def worker() -> Computed | None:
        async with await connect(database, application_name="worker") as own:
            return await compute_indicators(own, market_id, M5)

    done = await asyncio.gather(*(worker() for _ in range(4)))
    assert [result.stored for result in done if result] == [3_000]


async def test_when_indicators_were_lost_all_are_made_again(conn: Conn, market_id: int) -> None:
    whole = moved(series(500))
    await put(conn, market_id, part(whole, 0, 400))
    await compute_indicators(conn, market_id, M5)
    await conn.execute("truncate indicators")
    await put(conn, market_id, part(whole, 400, 500))
    assert await compute_indicators(conn, market_id, M5) == Computed(market_id, M5, 500, 500, 0)
    await check(conn, market_id, whole)


async def test_older_candles_make_all_of_it_again(conn: Conn, market_id: int) -> None:
    whole = moved(series(9_000))  # more than a month
    await put(conn, market_id, part(whole, 8_900, 9_000))
    await compute_indicators(conn, market_id, M5)
    await put(conn, market_id, part(whole, 0, 8_900))
    assert await compute_indicators(conn, market_id, M5) == Computed(market_id, M5, 9_000, 9_000, 0)
    await check(conn, market_id, whole)


async def test_without_candles_nothing_stays(conn: Conn, market_id: int) -> None:
    whole = moved(series(30))
    await put(conn, market_id, whole)
    await compute_indicators(conn, market_id, M5)
    await conn.execute("delete from candles")
    await due_since(conn, market_id, START_US)
    assert await compute_indicators(conn, market_id, M5) == Computed(market_id, M5, 0, 0, 30)


async def test_view_has_the_documented_columns(conn: Conn, market_id: int) -> None:
    await ensure_indicator_months(conn, [to_datetime(START_US).date()])
    await put(conn, market_id, moved(series(30)))
    await compute_indicators(conn, market_id, M5)
    cursor = await conn.execute("select * from v_indicators order by open_ts desc limit 1")
    names = [column.name for column in cursor.description or ()]
    (row,) = await cursor.fetchall()
    assert names[:6] == ["exchange", "symbol", "base", "quote", "interval", "open_ts"]
    assert set(names[6:]) == {*NAMES, "bollinger_middle"}
    assert row[:5] == ("binance", "BTC-USDT", "BTC", "USDT", "5m")
    assert row[names.index("sma_20")] == row[names.index("bollinger_middle")]
    assert row[names.index("sma_50")] is None
