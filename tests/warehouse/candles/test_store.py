"""Candles and their coverage, on a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy import URL

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import DAY_US, MINUTE_US, to_datetime
from coinwatch.windows import Window, merge, subtract
from tests.waiting import eventually
from tests.warehouse.conftest import MARKET, START_US, minutes
from warehouse.candles.coverage import missing
from warehouse.candles.store import CANDLES, MANY_ROWS, CandlesNotice, Stored, store
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets

OTHER = Market.canonical("kraken:ETH-USD")
DAY = Window(START_US, START_US + DAY_US)
TABLE_ROW = "select open, high, low, close, volume, quote_volume, trades, source, revision from candles"

Conn = psycopg.AsyncConnection[Any]


def candle(minute: int, close: float = 1.5, *, trades: int | None = 3) -> Candle:
    return Candle(
        market=MARKET,
        interval=Interval.M1,
        open_ts_us=START_US + minute * MINUTE_US,
        open=1.0,
        high=2.0,
        low=0.5,
        close=close,
        volume=10.0,
        quote_volume=None,
        trades=trades,
    )


async def rows(conn: Conn) -> list[tuple[Any, ...]]:
    return await (await conn.execute(f"{TABLE_ROW} order by open_ts")).fetchall()


async def covered(conn: Conn, market_id: int) -> list[Window]:
    uncovered = (await missing(conn, [market_id], Interval.M1, DAY)).get(market_id, [])
    return subtract([DAY], uncovered)


async def test_all_is_missing_at_first(conn: Conn, market_id: int) -> None:
    assert await missing(conn, [market_id], Interval.M1, DAY) == {market_id: [DAY]}


async def test_rows_and_coverage_are_stored_together(conn: Conn, market_id: int) -> None:
    stored = await store(conn, market_id, Interval.M1, [candle(0), candle(2, trades=None)], [minutes(0, 5)])
    assert stored == Stored(inserted=2, revised=0, unchanged=0, withdrawn=0)
    assert await rows(conn) == [
        (1.0, 2.0, 0.5, 1.5, 10.0, None, 3, "exchange", 0),
        (1.0, 2.0, 0.5, 1.5, 10.0, None, None, "exchange", 0),
    ]
    holes = await missing(conn, [market_id], Interval.M1, DAY)
    assert holes == {market_id: [minutes(5, 1_440)]}, "empty minutes are covered"


async def test_a_fully_covered_market_is_left_out(conn: Conn, market_id: int) -> None:
    await store(conn, market_id, Interval.M1, [], [DAY])
    assert await missing(conn, [market_id], Interval.M1, DAY) == {}


async def test_intervals_are_covered_apart(conn: Conn, market_id: int) -> None:
    await store(conn, market_id, Interval.M1, [], [DAY])
    assert await missing(conn, [market_id], Interval.H1, DAY) == {market_id: [DAY]}


async def test_only_the_time_a_market_was_listed_is_wanted(conn: Conn, market_id: int) -> None:
    await conn.execute(
        "update markets set listed_at = %s, delisted_at = %s",
        (
            to_datetime(START_US + 10 * MINUTE_US + 1),
            to_datetime(START_US + 20 * MINUTE_US + 1),
        ),
    )
    assert await missing(conn, [market_id], Interval.M1, DAY) == {market_id: [minutes(10, 21)]}
    assert await missing(conn, [market_id], Interval.M1, minutes(30, 40)) == {}


async def test_unavailable_ranges_are_not_missing(conn: Conn, market_id: int) -> None:
    await store(conn, market_id, Interval.M1, [], [minutes(0, 1)])
    gone = minutes(5, 1_440)
    await conn.execute(
        "update candle_coverage set unavailable = %s",
        (Multirange([Range(to_datetime(gone.start_us), to_datetime(gone.end_us))]),),
    )
    assert await missing(conn, [market_id], Interval.M1, DAY) == {market_id: [minutes(1, 5)]}


async def test_a_repeat_changes_nothing_and_a_correction_makes_a_revision(conn: Conn, market_id: int) -> None:
    first = [candle(minute) for minute in range(3)]
    await store(conn, market_id, Interval.M1, first, [minutes(0, 3)])
    assert await store(conn, market_id, Interval.M1, first, [minutes(0, 3)]) == Stored(0, 0, 3, 0)
    assert [row[-1] for row in await rows(conn)] == [0, 0, 0]

    corrected = [candle(0), candle(1, close=1.75), candle(2)]
    assert await store(conn, market_id, Interval.M1, corrected, [minutes(0, 3)]) == Stored(0, 1, 2, 0)
    assert [(row[3], row[-1]) for row in await rows(conn)] == [(1.5, 0), (1.75, 1), (1.5, 0)]


async def test_a_candle_the_exchange_takes_back_is_withdrawn(conn: Conn, market_id: int) -> None:
    await store(conn, market_id, Interval.M1, [candle(0), candle(1), candle(9)], [minutes(0, 10)])
    assert await store(conn, market_id, Interval.M1, [candle(0)], [minutes(0, 5)]) == Stored(0, 0, 1, 1)
    assert len(await rows(conn)) == 2, "minute 9 was not asked about"


async def test_the_exchange_confirms_our_own_candles_and_is_not_overruled(conn: Conn, market_id: int) -> None:
    own = [candle(0), candle(1)]
    await store(conn, market_id, Interval.M1, own, [], source="ticks")
    assert await covered(conn, market_id) == [], "our own candles verify nothing"

    confirmed = await store(conn, market_id, Interval.M1, [candle(0), candle(1, 1.75)], [minutes(0, 2)])
    assert confirmed == Stored(inserted=0, revised=1, unchanged=1, withdrawn=0)
    again = await store(conn, market_id, Interval.M1, [candle(0, 1.25), candle(1)], [], source="ticks")
    assert again == Stored(0, 0, 2, 0)
    assert [(row[3], *row[-2:]) for row in await rows(conn)] == [(1.5, "exchange", 0), (1.75, "exchange", 1)]


async def test_a_refused_candle_leaves_neither_rows_nor_coverage(conn: Conn, market_id: int) -> None:
    await conn.execute("alter table candles add check (close < 2)")
    refused = candle(1, close=2.0)
    with pytest.raises(psycopg.errors.CheckViolation):
        await store(conn, market_id, Interval.M1, [candle(0), refused], [minutes(0, 2)])
    assert await rows(conn) == []
    assert await covered(conn, market_id) == []


async def test_many_new_candles_are_stored_with_all_that_follows(conn: Conn, market_id: int) -> None:
    many = [candle(minute, trades=None if minute % 2 else 3) for minute in range(MANY_ROWS)]
    assert await store(conn, market_id, Interval.M1, many, [minutes(0, 90)]) == Stored(MANY_ROWS, 0, 0, 0)
    assert [row[-3] for row in await rows(conn)] == [3, None] * (MANY_ROWS // 2)
    assert await covered(conn, market_id) == [minutes(0, 90)]
    due = await (
        await conn.execute("select interval from candle_rollups where due @> %s", (to_datetime(START_US),))
    ).fetchall()
    assert {interval for (interval,) in due} == {"5m", "15m", "1h", "4h", "1d"}

    corrected = [candle(0, close=1.75), *many[1:]]
    assert await store(conn, market_id, Interval.M1, corrected, [minutes(0, 90)]) == Stored(
        0, 1, MANY_ROWS - 1, 0
    )


async def test_many_candles_without_coverage_cover_nothing(conn: Conn, market_id: int) -> None:
    many = [candle(minute) for minute in range(MANY_ROWS)]
    assert (await store(conn, market_id, Interval.M1, many, [], source="ticks")).inserted == MANY_ROWS
    assert await covered(conn, market_id) == []


async def test_many_candles_and_one_stored_meanwhile(database: URL, conn: Conn, market_id: int) -> None:
    """A candle made of trades is committed between the look for stored candles and the insert."""
    many = [candle(minute) for minute in range(MANY_ROWS)]
    async with await connect(database, application_name="daemon") as daemon, daemon.transaction():
        await store(daemon, market_id, Interval.M1, [candle(3, close=1.75)], [], source="ticks")
        storing = asyncio.create_task(store(conn, market_id, Interval.M1, many, [minutes(0, 90)]))
        await eventually(lambda: _waits_for_lock(daemon))
    assert await storing == Stored(inserted=MANY_ROWS - 1, revised=1, unchanged=0, withdrawn=0)
    assert await covered(conn, market_id) == [minutes(0, 90)]


async def _waits_for_lock(conn: Conn) -> bool:
    cursor = await conn.execute("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def test_months_are_made_on_demand(conn: Conn, market_id: int) -> None:
    old = msgspec.structs.replace(candle(0), open_ts_us=17_000 * DAY_US)
    assert (await store(conn, market_id, Interval.M1, [old, candle(0)], [])).inserted == 2


async def test_listeners_hear_of_changes_only(conn: Conn, market_id: int, database: URL) -> None:
    async with await connect(database, application_name="listener") as listener:
        await listener.execute(f"listen {CANDLES}")
        await store(conn, market_id, Interval.M1, [candle(0)], [minutes(0, 5)])
        await store(conn, market_id, Interval.M1, [candle(0)], [minutes(0, 5)])
        await store(conn, market_id, Interval.M1, [candle(7)], [], source="ticks")
        heard = [notify.payload async for notify in listener.notifies(timeout=60, stop_after=2)]
    assert [msgspec.json.decode(payload, type=CandlesNotice) for payload in heard] == [
        CandlesNotice(market_id, Interval.M1, START_US, START_US + 5 * MINUTE_US),
        CandlesNotice(market_id, Interval.M1, START_US + 7 * MINUTE_US, START_US + 8 * MINUTE_US),
    ]


@pytest.mark.parametrize("length", [25, MANY_ROWS + 25])
async def test_overlapping_stores_lose_no_range(
    database: URL, conn: Conn, market_id: int, length: int
) -> None:
    """Eight writers, windows that overlap and touch, in different orders: nothing lost, no deadlock."""
    windows = [minutes(start, start + length) for start in range(0, 400, 10)]

    async def write(turn: int) -> None:
        async with await connect(database, application_name=f"writer {turn}") as own:
            for window in windows[turn:] + windows[:turn]:
                first = (window.start_us - START_US) // MINUTE_US
                await store(
                    own, market_id, Interval.M1, [candle(m) for m in range(first, first + length)], [window]
                )

    await asyncio.gather(*(write(turn) for turn in range(0, 40, 5)))
    assert await covered(conn, market_id) == merge(windows)
    stored = await rows(conn)
    assert len(stored) == 390 + length
    assert {row[-1] for row in stored} == {0}


spans = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda span: minutes(span[0], sum(span)))


@given(
    covered_spans=st.lists(st.lists(spans, min_size=1, max_size=4), max_size=5),
    wanted=spans,
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_missing_matches_the_windows_module(
    database: URL, covered_spans: Sequence[Sequence[Window]], wanted: Window
) -> None:
    async def in_postgres() -> list[Window]:
        async with await connect(database, application_name="test") as conn:
            ids = await ensure_markets(conn, {MARKET: "BTCUSDT", OTHER: "ETH/USD"})
            await conn.execute("delete from candle_coverage")
            for together in covered_spans:
                await store(conn, ids[MARKET], Interval.M1, [], together)
            holes = await missing(conn, ids.values(), Interval.M1, wanted)
            assert holes.pop(ids[OTHER]) == [wanted]
            return holes.get(ids[MARKET], [])

    taken = [span for together in covered_spans for span in together]
    assert asyncio.run(in_postgres()) == subtract([wanted], taken)
