"""Averages as stored: once, announced, recomputable, thinned when old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL

from coinwatch.averaging.average import Average, Candidate, Method, average, recompute
from coinwatch.errors import WarehouseError
from coinwatch.records import Market, Symbol
from coinwatch.times import DAY_US, SECOND_US, from_datetime, now_us, to_datetime, utc_day
from warehouse.averages import store
from warehouse.averages.store import AVERAGES, AveragesNotice, LiveTrade, PairAverage, write_averages
from warehouse.db.connect import connect, engine
from warehouse.db.notifications import listen
from warehouse.db.partitions import drop_average_day, ensure_average_days, ensure_tick_days
from warehouse.markets import ensure_markets
from warehouse.ops.health import StreamHealth, StreamState, write_streams

BTC = Symbol("BTC", "USDT")
ETH = Symbol("ETH", "EUR")
TS_US = 1_795_176_000 * SECOND_US


@pytest.fixture
async def conn(conn: psycopg.AsyncConnection) -> psycopg.AsyncConnection:
    days = [utc_day(at_us) for at_us in (TS_US - DAY_US, TS_US, now_us())]
    await ensure_average_days(conn, days)
    return conn


@pytest.fixture
def reader(database: URL) -> Iterator[sqlalchemy.Connection]:
    pool = engine(database, application_name="test")
    with pool.connect() as connection:
        yield connection
    pool.dispose()


async def rows(conn: psycopg.AsyncConnection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query.encode(), values or None)).fetchall()


def computed(price: float = 64_123.456789012345) -> Average:
    candidates = [
        Candidate(
            name=name,
            price=price * (1 + place / 1e4),
            ts_us=TS_US - place,
            age_us=place * SECOND_US,
            mean_interval_us=None,
            volume=place + 0.1,
        )
        for place, name in enumerate(("binance", "coinbase", "kraken", "okx"))
    ]
    candidates.append(msgspec.structs.replace(candidates[0], name="htx", age_us=99 * SECOND_US))
    made = average(candidates).average
    assert made
    return made


def pair(symbol: Symbol = BTC, ts_us: int = TS_US, price: float = 64_123.456789012345) -> PairAverage:
    return PairAverage(
        symbol=symbol,
        ts_us=ts_us,
        average=computed(price),
        change_24h=-0.0123456789,
        high_24h=price + 1,
        low_24h=None,
    )


async def test_a_row_is_read_back_and_recomputed(
    conn: psycopg.AsyncConnection, reader: sqlalchemy.Connection
) -> None:
    written = [pair(), pair(ETH, price=0.1 + 0.2)]
    assert await write_averages(conn, TS_US, written) == 2
    assert store.latest_averages(reader, TS_US + 9 * SECOND_US) == tuple(written)
    assert store.latest_averages(reader, TS_US + 10 * SECOND_US) == ()
    for price, method, inputs in await rows(conn, "select price, method, inputs from price_averages"):
        assert recompute(inputs, Method(method)) == price
        assert inputs["htx"]["why"] == "silent for 99 s, more than 10 s"
        assert inputs["okx"].keys() == {"price", "ts", "age_s", "weight", "used", "why"}


async def test_the_newest_row_of_each_pair_is_the_latest(
    conn: psycopg.AsyncConnection, reader: sqlalchemy.Connection
) -> None:
    for second, pairs in enumerate([[pair(), pair(ETH)], [pair(price=5.0)]]):
        at_us = TS_US + second * SECOND_US
        await write_averages(
            conn, at_us, [msgspec.structs.replace(average, ts_us=at_us) for average in pairs]
        )
    latest = {average.symbol: average for average in store.latest_averages(reader, TS_US + 2 * SECOND_US)}
    assert latest[ETH].ts_us == TS_US
    assert latest[BTC].ts_us == TS_US + SECOND_US
    assert latest[BTC].average.inputs["binance"].price == 5.0


async def test_view_has_the_documented_columns(conn: psycopg.AsyncConnection) -> None:
    await write_averages(conn, TS_US, [pair()])
    cursor = await conn.execute("select * from v_averages")
    assert [column.name for column in cursor.description or ()] == [
        "symbol",
        "ts",
        "price",
        "method",
        "exchanges",
        "change_24h",
        "high_24h",
        "low_24h",
    ]
    (row,) = await cursor.fetchall()
    assert row[:2] == ("BTC-USDT", to_datetime(TS_US))
    assert row[4] == ["binance", "coinbase", "kraken", "okx"]


async def test_a_second_is_written_and_announced_once(conn: psycopg.AsyncConnection, database: URL) -> None:
    heard: list[AveragesNotice] = []
    listening = asyncio.Event()

    async def ready(_: psycopg.AsyncConnection) -> None:
        listening.set()

    async def hear() -> None:
        async with aclosing(
            listen(database, [AVERAGES], application_name="test", on_connect=ready)
        ) as notices:
            async for notice in notices:
                heard.append(store.decode_averages(notice.payload))
                if heard[-1].ts_us == TS_US + 1:
                    return

    hearing = asyncio.create_task(hear())
    await asyncio.wait_for(listening.wait(), 5)
    first = pair(price=1.0)
    async with await connect(database, application_name="test") as other:
        counts = await asyncio.gather(
            write_averages(conn, TS_US, [first]), write_averages(other, TS_US, [pair(price=2.0)])
        )
    assert sorted(counts) == [0, 1]
    assert await write_averages(conn, TS_US, [pair(price=3.0), pair(ETH)]) == 1
    assert await write_averages(conn, TS_US + 1, []) == 0
    await write_averages(conn, TS_US + 1, [pair()])
    await asyncio.wait_for(hearing, 60)
    moves = [(notice.ts_us, move.base) for notice in heard for move in notice.averages]
    assert moves == [(TS_US, "BTC"), (TS_US, "ETH"), (TS_US + 1, "BTC")]


async def test_many_pairs_are_announced_in_parts(conn: psycopg.AsyncConnection) -> None:
    pairs = [pair(Symbol(f"币安{number:06}", "USDT")) for number in range(500)]
    assert await write_averages(conn, TS_US, pairs) == 500
    payloads = store.encode_averages(TS_US, pairs)
    assert len(payloads) > 2
    assert max(len(payload.encode()) for payload in payloads) < 7_900
    moves = [move for payload in payloads for move in store.decode_averages(payload).averages]
    assert [Symbol(move.base, move.quote) for move in moves] == [average.symbol for average in pairs]


def test_a_foreign_notice_is_refused() -> None:
    with pytest.raises(WarehouseError, match="not a notice of averages"):
        store.decode_averages('{"tx":1}')


async def test_live_trades_come_from_the_newest_of_health_and_ticks(conn: psycopg.AsyncConnection) -> None:
    markets = [Market(exchange, BTC) for exchange in ("binance", "coinbase", "kraken", "okx")]
    ids = [(await ensure_markets(conn, {market: "x"}))[market] for market in markets]
    at_us = now_us()
    await ensure_tick_days(conn, [utc_day(at_us - 2 * 3_600 * SECOND_US), utc_day(at_us)])

    async def tick(market_id: int, trade_id: int, age_s: float, price: float) -> None:
        ts_us = at_us - round(age_s * SECOND_US)
        await conn.execute(
            "insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)"
            " values (%s, %s, %s, %s, %s, 1, true)",
            (market_id, trade_id, to_datetime(ts_us), utc_day(ts_us), price),
        )

    def health(age_s: float, received_s: float, price: float) -> StreamHealth:
        return StreamHealth(
            state=StreamState.LIVE,
            last_price=price,
            last_trade_ts_us=at_us - round(age_s * SECOND_US),
            last_received_us=at_us - round(received_s * SECOND_US),
        )

    await write_streams(
        conn, {ids[0]: health(30, 29, 10.0), ids[1]: health(5, 4, 20.0), ids[3]: health(7_300, 7_300, 1.0)}
    )
    await tick(ids[0], 1, 30, 10.0)
    await tick(ids[0], 2, 2, 11.0)
    await tick(ids[1], 1, 5, 20.0)
    await tick(ids[2], 1, 60, 30.0)
    await tick(ids[2], 2, -600, 99.0)  # a clock that is ahead does not give the time of receipt
    await tick(ids[3], 1, 7_300, 1.0)
    assert await store.live_trades(conn, at_us - 3_600 * SECOND_US) == [
        LiveTrade(ids[0], 11.0, at_us - 2 * SECOND_US, at_us - 2 * SECOND_US),
        LiveTrade(ids[1], 20.0, at_us - 5 * SECOND_US, at_us - 4 * SECOND_US),
        LiveTrade(ids[2], 30.0, at_us - 60 * SECOND_US, at_us - 60 * SECOND_US),
    ]


async def test_quarantine_lasts_until_it_is_released(conn: psycopg.AsyncConnection) -> None:
    market = Market("kraken", BTC)
    market_id = (await ensure_markets(conn, {market: "x"}))[market]
    for _ in range(2):
        await store.quarantine(conn, market_id, TS_US, 0.5)
    assert await store.quarantined(conn) == {market_id: TS_US}
    await store.release_from_quarantine(conn, market_id, 0.09)
    assert await store.quarantined(conn) == {}
    await store.quarantine(conn, market_id, TS_US + 1, 0.7)
    assert await store.quarantined(conn) == {market_id: TS_US + 1}
    quarantines = await rows(
        conn, "select since, released_at is null, deviation from quarantines order by since"
    )
    assert quarantines == [(to_datetime(TS_US), False, 0.09), (to_datetime(TS_US + 1), True, 0.7)]


async def test_old_days_keep_the_first_row_of_each_minute(conn: psycopg.AsyncConnection) -> None:
    start_us = TS_US - TS_US % DAY_US
    seconds = [3, 59, 60, 61, 119, 300, 359]
    for second in seconds:
        await write_averages(conn, start_us + second * SECOND_US, [pair(), pair(ETH)])
    await write_averages(conn, start_us + 62 * SECOND_US, [pair(Symbol("SOL", "EUR"))])
    await write_averages(conn, start_us - SECOND_US, [pair()])
    name = f"price_averages_{utc_day(start_us):%Y_%m_%d}"
    kept = [(symbol, second) for symbol in ("BTC", "ETH") for second in (3, 60, 300)] + [("SOL", 62)]

    assert name not in await store.thin(conn, start_us + 8 * DAY_US - 1)
    assert await store.thin(conn, start_us + 8 * DAY_US) == [name]
    quarantines = await rows(
        conn, "select base, ts from price_averages where ts >= %s order by base, ts", to_datetime(start_us)
    )
    assert [(base, (from_datetime(ts) - start_us) // SECOND_US) for base, ts in quarantines] == kept
    assert name not in await store.thin(conn, start_us + 9 * DAY_US)


async def test_a_day_that_is_being_read_is_thinned_later(
    conn: psycopg.AsyncConnection, database: URL
) -> None:
    await write_averages(conn, TS_US, [pair()])
    await write_averages(conn, TS_US + SECOND_US, [pair()])
    later_us = TS_US + 30 * DAY_US
    name = f"price_averages_{utc_day(TS_US):%Y_%m_%d}"
    async with await connect(database, application_name="test", autocommit=False) as other:
        await other.execute("select * from price_averages")
        assert name not in await store.thin(conn, later_us)
    assert name in await store.thin(conn, later_us)
    assert await rows(conn, "select count(*) from price_averages") == [(1,)]


async def test_days_are_partitions_that_can_be_dropped(conn: psycopg.AsyncConnection) -> None:
    day_us = TS_US - TS_US % DAY_US
    for at_us in (day_us, day_us + DAY_US - SECOND_US, day_us - SECOND_US):
        await write_averages(conn, at_us, [pair()])
    await ensure_average_days(conn, [utc_day(TS_US)])
    await drop_average_day(conn, utc_day(TS_US))
    await drop_average_day(conn, utc_day(TS_US))
    assert await rows(conn, "select ts from price_averages") == [(to_datetime(day_us - SECOND_US),)]
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        await write_averages(conn, TS_US, [pair()])
