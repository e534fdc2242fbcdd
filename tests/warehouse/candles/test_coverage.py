"""What is wanted, what is missing and what is given up: ranges in Postgres against our own arithmetic."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, from_datetime, now_us, to_datetime
from coinwatch.windows import Window, merge, subtract
from tests.warehouse.conftest import MARKET, START_US, minutes
from warehouse.candles.coverage import (
    EXPECTED_AFTER,
    Completeness,
    completeness,
    gaps,
    give_up,
    missing,
    want,
    want_from_now_on,
)
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets

OTHER = Market.canonical("kraken:ETH-USD")

Conn = psycopg.AsyncConnection[Any]


async def shown(conn: Conn) -> list[Window]:
    """The rows of ``v_gaps``."""
    cursor = await conn.execute("select from_ts, to_ts from v_gaps order by exchange, from_ts")
    return [Window(from_datetime(start), from_datetime(end)) for start, end in await cursor.fetchall()]


async def test_nothing_is_missing_that_is_not_wanted(conn: Conn, market_id: int) -> None:
    await store(conn, market_id, Interval.M1, [], [minutes(10, 20)])
    assert await gaps(conn) == {}
    await want(conn, [market_id], minutes(0, 30))
    assert await gaps(conn) == {market_id: [minutes(0, 10), minutes(20, 30)]}
    assert await shown(conn) == [minutes(0, 10), minutes(20, 30)]
    await give_up(conn, market_id, Interval.M1, [minutes(0, 5)])
    assert await gaps(conn) == {market_id: [minutes(5, 10), minutes(20, 30)]}
    assert await completeness(conn) == {MARKET: Completeness(30, 10, 5)}


async def test_an_active_market_wants_every_minute_that_comes(conn: Conn, market_id: int) -> None:
    other = (await ensure_markets(conn, {OTHER: "ETHUSD"}))[OTHER]
    since_us = Interval.M1.floor(now_us()) - 60 * MINUTE_US
    await want_from_now_on(conn, [market_id, other], since_us)
    missing_ranges = await gaps(conn)
    assert missing_ranges.keys() == {market_id, other}
    expected = now_us() - EXPECTED_AFTER // timedelta(microseconds=1)
    [hole] = missing_ranges[market_id]
    assert hole.start_us == since_us
    assert 0 <= expected - hole.end_us < 2 * MINUTE_US, "the newest minutes are not missed yet"

    await want_from_now_on(conn, [market_id], since_us + 30 * MINUTE_US)
    wanted = dict(
        await (await conn.execute("select market_id, upper(wanted) from candle_coverage")).fetchall()
    )
    assert wanted[market_id] is None
    assert from_datetime(wanted[other]) <= now_us()
    assert (await gaps(conn))[market_id][0].start_us == since_us, "what was once wanted stays so"


async def test_a_market_is_missed_only_while_it_was_listed(conn: Conn, market_id: int) -> None:
    await want(conn, [market_id], minutes(0, 100))
    await conn.execute(
        "update markets set listed_at = %s, delisted_at = %s, status = 'delisted'",
        (to_datetime(START_US + 10 * MINUTE_US + 5), to_datetime(START_US + 20 * MINUTE_US + 5)),
    )
    assert await gaps(conn) == {market_id: [minutes(10, 21)]}
    assert await missing(conn, [market_id], Interval.M1, minutes(0, 100)) == {market_id: [minutes(10, 21)]}
    await conn.execute("update markets set listed_at = now() + interval '1 day'")
    assert await gaps(conn) == {}


async def test_wants_that_overlap_lose_no_range_and_do_not_deadlock(database: URL, conn: Conn) -> None:
    markets = [Market.canonical(f"binance:A{number}-USDT") for number in range(8)]
    ids = sorted((await ensure_markets(conn, {market: str(market) for market in markets})).values())

    async def write(turn: int) -> None:
        async with await connect(database, application_name="writer") as writer:
            for number in range(10):
                window = minutes(100 * turn + 10 * number, 100 * turn + 10 * number + 10)
                await want(writer, ids if turn % 2 else ids[::-1], window)
                await want_from_now_on(writer, ids[turn : turn + 3], START_US + 10_000 * DAY_US)

    await asyncio.gather(*(write(turn) for turn in range(4)))
    assert set(await gaps(conn)) == set(ids)
    assert all(windows[0] == minutes(0, 400) for windows in (await gaps(conn)).values())


SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda span: minutes(span[0], span[0] + span[1])),
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=SPANS, covered=SPANS, gone=SPANS)
def test_missing_ranges_match_the_windows_module(
    wanted: list[Window], covered: list[Window], gone: list[Window], database: URL
) -> None:
    async def in_postgres() -> dict[int, list[Window]]:
        async with await connect(database, application_name="test") as conn:
            await conn.execute("delete from candle_coverage")
            market_id = (await ensure_markets(conn, {MARKET: "BTCUSDT"}))[MARKET]
            for window in wanted:
                await want(conn, [market_id], window)
            if covered:
                await store(conn, market_id, Interval.M1, [], covered)
            if gone:
                await give_up(conn, market_id, Interval.M1, gone)
            missing_ranges = await gaps(conn)
            assert await shown(conn) == missing_ranges.get(market_id, [])
            return missing_ranges

    left = subtract(wanted, merge([*covered, *gone]))
    assert list(asyncio.run(in_postgres()).values()) == ([left] if left else [])
