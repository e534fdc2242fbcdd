"""Partitions are created and dropped without blocking, and ranges of ts prune them."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from coinwatch.records import Market
from tests.stored import rows
from tests.waiting import eventually
from warehouse.db import partitions
from warehouse.db.connect import connect
from warehouse.db.partitions import drop_tick_day, ensure_candle_months, ensure_tick_days
from warehouse.markets import ensure_markets

MARKET = Market.canonical("binance:BTC-USDT")
DAY = date(2026, 7, 1)
NEXT = DAY + timedelta(days=1)

INSERT = """
INSERT INTO ticks (trade_id, ts, price, amount, market_id, day, taker_buys)
VALUES (%s, %s, 1, 1, 1, %s, true)
"""


@pytest.fixture
async def conn(conn: psycopg.AsyncConnection) -> psycopg.AsyncConnection:
    await ensure_markets(conn, {MARKET: "BTCUSDT"})
    return conn


async def attached(conn: psycopg.AsyncConnection, parent: str) -> set[str]:
    rows_read = await rows(
        conn,
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
        parent,
    )
    return {name for (name,) in rows_read}


async def insert(conn: psycopg.AsyncConnection, trade_id: int, day: date, time: str = "12:00") -> None:
    await conn.execute(INSERT, [trade_id, f"{day}T{time}:00Z", day])


async def test_makes_days_once_with_their_indexes_and_bounds(conn: psycopg.AsyncConnection) -> None:
    await ensure_tick_days(conn, [DAY])
    await ensure_tick_days(conn, [NEXT, DAY, date(2019, 12, 31)])
    names = {"ticks_2019_12_31", "ticks_2026_07_01", "ticks_2026_07_02"}
    assert await attached(conn, "ticks") == names
    assert await attached(conn, "ticks_pkey") == {f"{name}_pkey" for name in names}
    assert len(await attached(conn, "ticks_market_id_ts_idx")) == len(names)
    await insert(conn, 1, DAY, "00:00")
    await insert(conn, 2, DAY, "23:59")
    with pytest.raises(psycopg.errors.CheckViolation):
        await conn.execute(INSERT, [3, f"{NEXT}T00:00:00Z", DAY])
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        await insert(conn, 4, NEXT + timedelta(days=1))


async def test_makes_months(conn: psycopg.AsyncConnection) -> None:
    await ensure_candle_months(conn, [date(2026, 12, 31), date(2026, 12, 1), date(2024, 2, 29)])
    await ensure_candle_months(conn, [date(2026, 12, 15)])
    assert await attached(conn, "candles") == {"candles_2026_12", "candles_2024_02"}
    for moment in ("2024-02-01T00:00Z", "2024-02-29T23:59Z", "2026-12-31T23:59Z"):
        await conn.execute(
            "INSERT INTO candles (open_ts, open, high, low, close, volume, market_id, interval) "
            "VALUES (%s, 1, 1, 1, 1, 0, 1, '1m')",
            [moment],
        )


async def test_several_daemons_make_the_same_days_at_once(
    database: URL, conn: psycopg.AsyncConnection
) -> None:
    days = [DAY + timedelta(days=number) for number in range(10)]

    async def daemon() -> None:
        async with await connect(database, application_name="daemon") as own:
            await ensure_tick_days(own, days)
            await ensure_candle_months(own, days)

    await asyncio.gather(*(daemon() for _ in range(4)))
    assert len(await attached(conn, "ticks")) == len(days)


async def test_making_a_day_waits_for_no_read_and_holds_up_no_insert(
    database: URL, conn: psycopg.AsyncConnection
) -> None:
    await ensure_tick_days(conn, [DAY])
    await insert(conn, 1, DAY)
    async with (
        await connect(database, application_name="reader", autocommit=False) as reader,
        await connect(database, application_name="writer", autocommit=False) as writer,
    ):
        assert await rows(reader, "SELECT count(*) FROM v_ticks") == [(1,)]  # and its transaction stays open
        await insert(writer, 2, DAY)  # so does this one's
        async with asyncio.timeout(2):
            await ensure_tick_days(conn, [NEXT])
            await insert(conn, 3, NEXT)
            await insert(conn, 4, DAY)
        await writer.commit()
        assert await rows(reader, "SELECT count(*) FROM v_ticks") == [(4,)]


async def test_a_lock_that_stays_is_reported_and_blocks_no_insert(
    database: URL, conn: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "TRIES_FOR_S", 0.5)
    async with await connect(database, application_name="admin", autocommit=False) as admin:
        await admin.execute("LOCK TABLE ticks IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(WarehouseError, match="partition ticks_2026_07_01: another transaction"):
            await ensure_tick_days(conn, [DAY])
    await ensure_tick_days(conn, [DAY])


async def test_dropping_a_day_holds_up_neither_reads_nor_inserts(
    database: URL, conn: psycopg.AsyncConnection
) -> None:
    await ensure_tick_days(conn, [DAY, NEXT])
    await insert(conn, 1, DAY)
    await insert(conn, 2, NEXT)
    async with (
        await connect(database, application_name="reader", autocommit=False) as reader,
        await connect(database, application_name="dropper") as dropper,
    ):
        await rows(reader, "SELECT count(*) FROM ticks")
        dropping = asyncio.create_task(drop_tick_day(dropper, DAY))
        await eventually(lambda: _is_waiting(conn, dropper.info.backend_pid))
        async with asyncio.timeout(2):
            await insert(conn, 3, NEXT)
            assert await rows(conn, "SELECT trade_id FROM ticks ORDER BY 1") == [(2,), (3,)]
            assert await rows(reader, "SELECT count(*) FROM v_ticks") == [(2,)]
        assert not dropping.done()
        await reader.rollback()
        await asyncio.wait_for(dropping, 60)
    assert await attached(conn, "ticks") == {"ticks_2026_07_02"}
    assert await rows(conn, "SELECT to_regclass('ticks_2026_07_01')") == [(None,)]
    await drop_tick_day(conn, DAY)


async def _is_waiting(conn: psycopg.AsyncConnection, pid: int) -> bool:
    rows_read = await rows(conn, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", pid)
    return bool(rows_read[0][0])


async def _interrupt_drop(database: URL, conn: psycopg.AsyncConnection) -> None:
    """Leave DAY half detached, as a daemon that was killed meanwhile does."""
    async with (
        await connect(database, application_name="reader", autocommit=False) as reader,
        await connect(database, application_name="dropper") as dropper,
    ):
        await rows(reader, "SELECT count(*) FROM ticks")
        dropping = asyncio.create_task(drop_tick_day(dropper, DAY))
        await eventually(lambda: _is_waiting(conn, dropper.info.backend_pid))
        await rows(conn, "SELECT pg_terminate_backend(%s)", dropper.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            await dropping


async def test_an_interrupted_drop_is_finished_by_the_next(
    database: URL, conn: psycopg.AsyncConnection
) -> None:
    await ensure_tick_days(conn, [DAY])
    await insert(conn, 1, DAY)
    await _interrupt_drop(database, conn)
    await drop_tick_day(conn, DAY)
    assert await attached(conn, "ticks") == set()
    assert await rows(conn, "SELECT to_regclass('ticks_2026_07_01')") == [(None,)]


async def test_a_day_half_dropped_is_there_again_when_asked_for(
    database: URL, conn: psycopg.AsyncConnection
) -> None:
    await ensure_tick_days(conn, [DAY])
    await insert(conn, 1, DAY)
    await _interrupt_drop(database, conn)
    await ensure_tick_days(conn, [DAY])
    await insert(conn, 2, DAY)
    assert await rows(conn, "SELECT count(*) FROM ticks") == [(2,)]
    # And once more from the other half: detached, not dropped.
    await conn.execute("ALTER TABLE ticks DETACH PARTITION ticks_2026_07_01 CONCURRENTLY")
    await ensure_tick_days(conn, [DAY])
    assert await rows(conn, "SELECT count(*) FROM ticks") == [(2,)]
    assert len(await attached(conn, "ticks_pkey")) == 1


@pytest.mark.parametrize("table", ["ticks", "v_ticks"])
async def test_a_range_of_ts_reads_only_its_days(conn: psycopg.AsyncConnection, table: str) -> None:
    await ensure_tick_days(conn, [DAY + timedelta(days=number) for number in range(20)])
    query = f"SELECT count(*) FROM {table} WHERE ts >= %s AND ts < %s"  # noqa: S608 (two fixed names)
    bounds = (f"{DAY}T22:00Z", f"{NEXT}T01:00Z")

    async def plan() -> str:
        return "\n".join(line for (line,) in await rows(conn, f"EXPLAIN {query}", *bounds))

    assert _days_in(await plan()) == {"ticks_2026_07_01", "ticks_2026_07_02"}
    # The same as a prepared statement, which after five uses may be planned without its values.
    await conn.execute(
        f"PREPARE span (timestamptz, timestamptz) AS {query.replace('%s', '$1', 1).replace('%s', '$2')}"
    )
    execute = f"EXECUTE span ('{bounds[0]}', '{bounds[1]}')"
    for _ in range(7):
        await conn.execute(execute)
    planned = "\n".join(line for (line,) in await rows(conn, f"EXPLAIN {execute}"))
    assert _days_in(planned) == {"ticks_2026_07_01", "ticks_2026_07_02"}


def _days_in(plan: str) -> set[str]:
    words = plan.replace("(", " ").split()
    return {word for word in words if word.startswith("ticks_2026") and word.count("_") == 3}
