"""The ledger of interruptions: opened with the trades that follow, taken over, closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg import AsyncConnection

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from coinwatch.times import SECOND_US, now_us, to_datetime
from warehouse.db.connect import connect, reading
from warehouse.markets import ensure_markets
from warehouse.ops.health import beat
from warehouse.trades import gaps
from warehouse.trades.gap_reads import read_gaps
from warehouse.trades.gaps import Ending, LedgerEntries, Opening
from warehouse.trades.writer import TickWriter

BTC, ETH = (Market.canonical(name) for name in ("binance:BTC-USDT", "kraken:ETH-EUR"))
NOW_US = now_us()


class Books:
    def __init__(self, url: sqlalchemy.URL, conn: AsyncConnection, ids: dict[Market, int]) -> None:
        self.url, self.conn, self.ids = url, conn, ids

    def writer(self, daemon: str = "a:1") -> TickWriter:
        return TickWriter(self.conn, self.ids, daemon=daemon)

    async def begin(self, daemon: str = "a:1", *markets: Market, is_leased: bool = False) -> dict[int, int]:
        ids = [self.ids[market] for market in markets or (BTC,)]
        return await gaps.begin(
            self.conn, daemon, ids, cause=GapCause.STARTED, first_reach_s=60, silent_s=3, is_leased=is_leased
        )

    async def rows(self) -> list[tuple[Any, ...]]:
        cursor = await self.conn.execute(
            "select daemon, cause, state, after_id, before_id, recovered, reason from stream_gaps order by id"
        )
        return await cursor.fetchall()


@pytest.fixture
async def books(database: sqlalchemy.URL) -> AsyncIterator[Books]:
    async with AsyncExitStack() as stack:
        conn = await stack.enter_async_context(await connect(database, application_name="test"))
        yield Books(database, conn, await ensure_markets(conn, {BTC: "BTCUSDT", ETH: "ETHEUR"}))


def trade(trade_id: int, ago_s: float = 0.0, market: Market = BTC) -> Trade:
    return Trade(market, trade_id, NOW_US - round(ago_s * SECOND_US), 1.0, 1.0, True)


async def test_a_first_start_reaches_back_as_far_as_configured(books: Books) -> None:
    assert await books.begin() == {}
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    assert (gap.after_id, gap.before_ts_us) == (None, None)
    assert 59 < (now_us() - gap.after_ts_us) / SECOND_US < 70


async def test_a_start_goes_back_behind_the_last_stored_trade(books: Books) -> None:
    await books.writer().write([trade(1, 100), trade(2, 50), trade(3, 35), trade(4, 30)])
    known = await books.begin()
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    assert (gap.after_id, gap.after_ts_us) == (2, trade(2, 50).ts_us)
    assert known == {books.ids[BTC]: gap.after_ts_us}


async def test_a_start_soon_after_the_first_goes_back_to_the_first_trade(books: Books) -> None:
    await books.writer().write([trade(7, 4), trade(8, 3)])
    await books.begin()
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    assert (gap.after_id, gap.after_ts_us) == (7, trade(7, 4).ts_us)


async def test_rows_are_entered_with_the_trades_that_follow_or_not_at_all(books: Books) -> None:
    market_id = books.ids[BTC]
    entries = LedgerEntries(
        [Opening(market_id, GapCause.DISCONNECTED, 1, NOW_US)], [Ending(market_id, 5, NOW_US + 5)]
    )
    writer = books.writer()
    await writer.write([trade(1, 10)])
    locked = await connect(books.url, application_name="test")
    async with locked, locked.transaction():
        await locked.execute("lock table ticks in share row exclusive mode")
        await books.conn.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await writer.write_rows(writer.rows([trade(5)]), entries)
        await books.conn.execute("rollback")
        assert await books.rows() == []
    await writer.write_rows(writer.rows([trade(5)]), entries, perhaps_stored=True)
    await writer.write_rows(writer.rows([trade(5)]), entries, perhaps_stored=True)
    assert await books.rows() == [("a:1", "disconnected", "open", 1, 5, 0, None)]


async def test_rows_are_entered_without_trades_too(books: Books) -> None:
    writer = books.writer()
    opening = Opening(books.ids[BTC], GapCause.SILENT, 3, NOW_US)
    await writer.write_rows(writer.rows([]), LedgerEntries([opening], []))
    assert await books.rows() == [("a:1", "silent", "open", 3, None, 0, None)]


async def test_open_gaps_of_a_dead_daemon_are_inherited(books: Books) -> None:
    await books.begin("dead:1", BTC, ETH)
    await beat(books.conn, "ingest", "alive:1", datetime.now(UTC), {})
    await books.begin("alive:1", ETH)
    await books.begin("new:1", BTC, ETH)
    owners = [(row[0], row[2]) for row in await books.rows()]
    assert sorted(owners) == [("alive:1", "open"), ("new:1", "open"), ("new:1", "open")]


async def test_gaps_follow_the_lease_except_those_of_a_standby(books: Books) -> None:
    for daemon, mode in (("had:1", "shared"), ("stands by:1", "standby")):
        await beat(books.conn, "ingest", daemon, datetime.now(UTC), {"mode": mode})
        await books.begin(daemon)
    await books.begin("has:1", is_leased=True)
    assert sorted(row[0] for row in await books.rows()) == ["has:1", "stands by:1"]


async def test_a_filled_gap_has_the_count_of_recovered_trades(books: Books) -> None:
    await books.begin()
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    await gaps.note_failure(books.conn, gap, "binance: 503")
    await gaps.fill(books.conn, gap, 17, heard_id=9, heard_ts_us=NOW_US)
    assert await books.rows() == [("a:1", "started", "filled", None, 9, 17, None)]
    assert await gaps.open_gaps(books.conn, "a:1", books.ids.values()) == []
    with reading(books.url, application_name="test") as connection:
        [row] = read_gaps(connection, datetime.now(UTC) - timedelta(hours=1))
    assert (row.market, row.state, row.recovered) == (BTC, "filled", 17)


async def test_unfillable_and_filled_parts_are_separate_rows(books: Books) -> None:
    await books.begin()
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    await gaps.give_up(
        books.conn,
        gap,
        recovered=5,
        reason="only the newest are shown",
        after_id=gap.after_id,
        after_ts_us=gap.after_ts_us,
        before_id=20,
        before_ts_us=NOW_US - 10,
        end_id=25,
        end_ts_us=NOW_US,
    )
    assert await books.rows() == [
        ("a:1", "started", "unfillable", None, 20, 0, "only the newest are shown"),
        ("a:1", "started", "filled", 20, 25, 5, None),
    ]


async def test_a_gap_starts_at_the_last_stored_trade(books: Books) -> None:
    await books.writer().write([trade(1, 60), trade(2, 9), trade(3, 1)])
    await books.begin()
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    assert gap.after_id == 1
    assert await gaps.last_stored(books.conn, gap, trade(3, 1).ts_us) == (2, trade(2, 9).ts_us)
    assert await gaps.last_stored(books.conn, gap, NOW_US) == (3, trade(3, 1).ts_us)
    assert await gaps.last_stored(books.conn, gap, gap.after_ts_us + 1) == (1, gap.after_ts_us)


async def test_time_while_a_market_was_not_wanted_is_not_recovered(books: Books) -> None:
    await books.writer().write([trade(1, 7_200)])
    await gaps.leave(books.conn, "a:1", [books.ids[BTC]])
    assert await books.begin() == {}
    [gap] = await gaps.open_gaps(books.conn, "a:1", books.ids.values())
    assert now_us() - gap.after_ts_us < 70 * SECOND_US
    cursor = await books.conn.execute(
        "select after_ts, before_ts from stream_gaps where cause = 'not wanted'"
    )
    [(after_ts, before_ts)] = await cursor.fetchall()
    assert (after_ts, before_ts) == (to_datetime(trade(1, 7_200).ts_us), to_datetime(gap.after_ts_us))
