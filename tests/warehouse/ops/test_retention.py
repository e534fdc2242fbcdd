"""What is old is deleted, and nothing else; trades only once there are candles in their place."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, to_datetime
from coinwatch.windows import Window
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.db.partitions import absent, ensure_average_days, ensure_candle_months, ensure_tick_days
from warehouse.markets import ensure_markets
from warehouse.ops import retention
from warehouse.ops.retention import (
    PartitionDay,
    delete_old_rows,
    drop_averages,
    drop_ticks,
    overdue,
    tick_days,
    unverified,
    vacuum,
)

Conn = psycopg.AsyncConnection[Any]
BTC, ETH = Market.canonical("binance:BTC-USDT"), Market.canonical("kraken:ETH-USD")
TODAY = date(2026, 7, 20)
GB = 10**9


def days_ago(number: int) -> date:
    return TODAY - timedelta(days=number)


def whole(day: date) -> Window:
    return Window(day_start_us(day), day_start_us(day) + DAY_US)


@pytest.fixture
async def ids(conn: Conn) -> dict[Market, int]:
    return await ensure_markets(conn, {BTC: "BTCUSDT", ETH: "ETHUSD"})


async def trade(conn: Conn, market_id: int, day: date) -> None:
    await ensure_tick_days(conn, [day])
    await conn.execute(
        "insert into ticks (trade_id, ts, price, amount, market_id, day, taker_buys)"
        " values (1, %s, 1, 1, %s, %s, true)",
        (to_datetime(day_start_us(day)), market_id, day),
    )


async def rows(conn: Conn, query: str) -> list[Any]:
    return [row[0] for row in await (await conn.execute(query)).fetchall()]


def days(*sizes: int) -> list[PartitionDay]:
    """The last of the sizes is today's."""
    return [PartitionDay(days_ago(len(sizes) - 1 - number), size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "keep_days", "keep_bytes", "due"),
    [
        ((1, 1, 1), 7, 100, 0),
        ((1, 1, 1, 1), 2, 100, 1),
        ((10, 10, 10), 7, 30, 0),
        ((10, 10, 10), 7, 29, 1),
        ((10, 10, 10), 7, 10, 2),
        ((10, 10, 10), 7, 1, 2),
        ((99,), 1, 1, 0),
        ((), 1, 1, 0),
    ],
)
def test_the_oldest_days_beyond_either_limit_are_overdue(
    sizes: tuple[int, ...], keep_days: int, keep_bytes: int, due: int
) -> None:
    stored = days(*sizes)
    assert overdue(stored, TODAY, keep_days, keep_bytes) == stored[:due]


@given(
    st.lists(st.integers(0, 50), max_size=12),
    st.integers(1, 10),
    st.integers(1, 200),
)
def test_what_is_not_overdue_is_within_the_limits(sizes: list[int], keep_days: int, keep: int) -> None:
    stored = days(*sizes)
    due = overdue(stored, TODAY, keep_days, keep)
    left = stored[len(due) :]
    assert due == stored[: len(due)]
    past = [day for day in left if day.day < TODAY]
    assert all(day.day >= days_ago(keep_days) for day in past)
    assert not past or sum(day.bytes for day in left) <= keep
    if due:  # the last that goes has to
        assert due[-1].day < days_ago(keep_days) or sum(day.bytes for day in [due[-1], *left]) > keep


async def test_a_day_is_verified_when_all_minutes_of_traded_markets_are(
    conn: Conn, ids: dict[Market, int]
) -> None:
    day = days_ago(9)
    await trade(conn, ids[BTC], day)
    assert await unverified(conn, day) == {BTC: [whole(day)]}
    noon_us = day_start_us(day) + DAY_US // 2
    await store(conn, ids[BTC], Interval.M1, [], [Window(day_start_us(day), noon_us)])
    await conn.execute(
        "update candle_coverage set unavailable = tstzmultirange(tstzrange(%s, %s))",
        (to_datetime(noon_us + MINUTE_US), to_datetime(day_start_us(day) + 2 * DAY_US)),
    )
    assert await unverified(conn, day) == {BTC: [Window(noon_us, noon_us + MINUTE_US)]}
    await conn.execute("update markets set listed_at = %s", (to_datetime(noon_us + MINUTE_US + 1),))
    assert await unverified(conn, day) == {}
    await trade(conn, ids[ETH], day)
    assert await unverified(conn, day) == {ETH: [Window(noon_us + MINUTE_US, day_start_us(day) + DAY_US)]}
    await conn.execute("update markets set delisted_at = %s", (to_datetime(noon_us + 3 * MINUTE_US),))
    assert await unverified(conn, day) == {
        ETH: [Window(noon_us + MINUTE_US, noon_us + 4 * MINUTE_US)],
    }


async def test_old_days_go_once_their_candles_are_verified(conn: Conn, ids: dict[Market, int]) -> None:
    for number in range(10):
        await trade(conn, ids[BTC], days_ago(number))
    await store(conn, ids[BTC], Interval.M1, [], [whole(days_ago(9))])
    drops = await drop_ticks(conn, TODAY, 7, 20 * GB)
    assert [day.day for day in drops.dropped] == [days_ago(9)]
    assert [day.day for day in drops.kept] == [days_ago(8)]
    assert drops.unverified == {days_ago(8): {BTC: [whole(days_ago(8))]}}
    assert drops.lost == []
    assert drops.dropped[0].bytes > 8_192
    assert [day.day for day in await tick_days(conn)] == [days_ago(number) for number in range(8, -1, -1)]
    assert await rows(conn, "select count(*) from ticks") == [9]

    await store(conn, ids[BTC], Interval.M1, [], [whole(days_ago(8))])
    drops = await drop_ticks(conn, TODAY, 7, 20 * GB)
    assert [day.day for day in drops.dropped] == [days_ago(8)]
    assert (drops.kept, drops.unverified) == ([], {})


async def test_a_day_half_dropped_is_dropped(conn: Conn, ids: dict[Market, int]) -> None:
    await trade(conn, ids[BTC], days_ago(9))
    await store(conn, ids[BTC], Interval.M1, [], [whole(days_ago(9))])
    await conn.execute(f"alter table ticks detach partition ticks_{days_ago(9):%Y_%m_%d}")
    drops = await drop_ticks(conn, TODAY, 7, 20 * GB)
    assert [day.day for day in drops.dropped] == [days_ago(9)]
    assert await tick_days(conn) == []


async def test_what_takes_far_too_much_goes_unverified_the_oldest_first(
    conn: Conn, ids: dict[Market, int]
) -> None:
    for number in range(6):
        await trade(conn, ids[BTC], days_ago(number))
    size = (await tick_days(conn))[0].bytes
    await store(conn, ids[BTC], Interval.M1, [], [whole(days_ago(4))])
    # Two days fit, three are not far too much: of six, the verified one goes, then the oldest two.
    drops = await drop_ticks(conn, TODAY, 7, 2 * size)
    assert [day.day for day in drops.dropped] == [days_ago(5), days_ago(4), days_ago(3)]
    assert [day.day for day in drops.lost] == [days_ago(5), days_ago(3)]
    assert [day.day for day in drops.kept] == [days_ago(2)]
    assert set(drops.unverified) == {days_ago(5), days_ago(3), days_ago(2)}


async def test_today_stays_however_large(conn: Conn, ids: dict[Market, int]) -> None:
    await trade(conn, ids[BTC], TODAY)
    assert (await drop_ticks(conn, TODAY, 1, 1)).dropped == []
    assert len(await tick_days(conn)) == 1


async def test_averages_are_kept_for_400_days(conn: Conn) -> None:
    await ensure_average_days(conn, [days_ago(401), days_ago(400)])
    assert [day.day for day in await drop_averages(conn, TODAY)] == [days_ago(401)]
    assert await drop_averages(conn, TODAY) == []


async def test_rows_are_deleted_by_age_in_batches(
    conn: Conn, ids: dict[Market, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    now = datetime(2026, 7, 20, 12, tzinfo=UTC)
    await trade(conn, ids[BTC], days_ago(99))
    for number in range(1, 8):
        age_days = 100 - number
        at = now - timedelta(days=age_days)
        await conn.execute(
            "insert into alert_events (event_id, rule_id, symbol, exchange, trade_id, price, ts, message,"
            " created_at) values (%s, 1, 'BTC-USDT', 'binance', 1, 1, now(), '', %s)",
            (number, now - timedelta(days=95 - 2 * number)),
        )
        await conn.execute(
            "insert into rejects (at, market_id, trade, reason) values (%s, %s, '{}', '')",
            (now - timedelta(days=33 - number), ids[BTC]),
        )
        for state in ("filled", "open"):
            closed = at if state == "filled" else None
            await conn.execute(
                "insert into stream_gaps (market_id, daemon, cause, state, after_ts, before_ts, closed_at,"
                " before_id) values (%s, '', '', %s, %s, %s, %s, %s)",
                (ids[BTC], state, at, at, closed, age_days),
            )
    # Closed without an end: the market is left alone since.
    await conn.execute(
        "insert into stream_gaps (market_id, daemon, cause, state, after_ts, closed_at)"
        " values (%s, '', 'not wanted', 'unfillable', %s, %s)",
        (ids[BTC], *[now - timedelta(days=200)] * 2),
    )
    for market_id, age_days in zip(ids.values(), (29, 31), strict=True):
        await conn.execute(
            "insert into stream_health (market_id, state, updated_at) values (%s, 'down', %s)",
            (market_id, now - timedelta(days=age_days)),
        )
    for age_days in (89, 91):
        await conn.execute(
            "insert into job_failures (recorded_at, run_id, job, why) values (%s, %s, 'candles', '')",
            (now - timedelta(days=age_days), str(age_days)),
        )
    for instance, age_days in (("here", 6), ("gone", 8)):
        at = now - timedelta(days=age_days)
        await conn.execute("insert into service_heartbeats values ('ingest', %s, %s, %s)", (instance, at, at))

    # With trades of 99 days ago there is still something around all interruptions but the first.
    assert await delete_old_rows(conn, now) == {
        "alert_events": 2,
        "rejects": 2,
        "stream_gaps": 0,
        "job_failures": 1,
        "stream_health": 1,
        "service_heartbeats": 1,
    }
    assert await rows(conn, "select event_id from alert_events order by 1") == [3, 4, 5, 6, 7]
    assert await rows(conn, "select instance from service_heartbeats") == ["here"]
    await store(conn, ids[BTC], Interval.M1, [], [whole(days_ago(99))])
    await drop_ticks(conn, TODAY, 7, GB)
    assert (await delete_old_rows(conn, now))["stream_gaps"] == 7
    assert await rows(conn, "select count(*) from stream_gaps where state = 'filled'") == [0]
    assert await rows(conn, "select count(*) from stream_gaps where state = 'open'") == [7]
    assert await rows(conn, "select count(*) from stream_gaps where before_ts is null") == [1]


async def test_the_parents_get_statistics(conn: Conn, database: URL, ids: dict[Market, int]) -> None:
    await trade(conn, ids[BTC], TODAY)
    count = "select count(*) from pg_stats where tablename in ('ticks', 'markets') and inherited"
    assert await rows(conn, count) == [0]
    async with await connect(database, application_name="holder", autocommit=False) as holder:
        await holder.execute("lock table rejects in access exclusive mode")
        await vacuum(conn)
    assert await rows(conn, count) != [0]


async def test_absent_partitions_are_named(conn: Conn) -> None:
    await ensure_tick_days(conn, [TODAY])
    assert await absent(conn, TODAY) == ["price_averages_2026_07_20", "candles_2026_07"]
    await ensure_average_days(conn, [TODAY])
    await ensure_candle_months(conn, [TODAY])
    assert await absent(conn, TODAY) == []
    assert await absent(conn, TODAY + timedelta(days=1)) == [
        "ticks_2026_07_21",
        "price_averages_2026_07_21",
    ]
