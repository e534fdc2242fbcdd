from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date, timedelta

import numpy as np
import psycopg
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection

from coinwatch.records import Market, Trade
from coinwatch.times import DAY_US, day_start_us, now_us, utc_day
from tests.stored import stored_trades
from warehouse.db.connect import connect
from warehouse.db.notifications import NOTICE_BYTES, MarketMove, TicksNotice, decode_notice
from warehouse.db.partitions import drop_tick_day
from warehouse.markets import ensure_markets
from warehouse.trades import writer as trades_writer
from warehouse.trades.rows import TickRows
from warehouse.trades.writer import TickWriter, ensure_days_ahead

BTC, ETH = (Market.canonical(name) for name in ("binance:BTC-USDT", "kraken:ETH-EUR"))
NOON_US = day_start_us(date(2026, 3, 14)) + DAY_US // 2


def trade(
    trade_id: int, market: Market = BTC, *, ts_us: int | None = None, price: float = 1.5, amount: float = 0.25
) -> Trade:
    when_us = NOON_US + trade_id if ts_us is None else ts_us
    return Trade(market, trade_id, when_us, price, amount, trade_id % 2 == 0)


class Warehouse:
    """Connections and writers on one database, closed at the end of the test."""

    def __init__(self, url: sqlalchemy.URL, stack: AsyncExitStack, market_ids: dict[Market, int]) -> None:
        self.url, self.ids, self._stack = url, market_ids, stack

    async def connect(self) -> AsyncConnection:
        return await self._stack.enter_async_context(await connect(self.url, application_name="test"))

    async def writer(self) -> TickWriter:
        return TickWriter(await self.connect(), self.ids)

    async def stored(self, market: Market = BTC) -> list[Trade]:
        return await stored_trades(await self.connect(), self.ids[market])

    async def listener(self) -> AsyncConnection:
        conn = await self.connect()
        await conn.execute("listen ticks")
        return conn


@pytest.fixture
async def warehouse(database: sqlalchemy.URL) -> AsyncIterator[Warehouse]:
    async with AsyncExitStack() as stack:
        conn = await stack.enter_async_context(await connect(database, application_name="test"))
        ids = await ensure_markets(conn, {BTC: "BTCUSDT", ETH: "ETHEUR"})
        yield Warehouse(database, stack, ids)


async def notices(listener: AsyncConnection) -> list[TicksNotice]:
    return [decode_notice(n.payload) async for n in listener.notifies(timeout=0.3)]


@pytest.mark.parametrize("few_rows", [trades_writer.FEW_ROWS, 0], ids=["inserted", "copied"])
async def test_trades_come_back_exactly_and_the_commit_is_announced_with_its_tx(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, few_rows: int
) -> None:
    monkeypatch.setattr(trades_writer, "FEW_ROWS", few_rows)
    listener = await warehouse.listener()
    writer = await warehouse.writer()
    sent = [
        trade(12, price=0.1 + 0.2, amount=1e-15),
        trade(11, price=105944.20, amount=0.00027625),
        trade(10, price=1.7976931348623157e308, amount=5e-324),
        trade(2**63 - 1, ETH, ts_us=NOON_US),
    ]
    written = await writer.write(sent)
    assert (written.inserted, written.duplicates.total(), written.refused.total()) == (4, 0, 0)
    assert await warehouse.stored() == sorted(sent[:3], key=lambda t: t.ts_us)
    assert await warehouse.stored(ETH) == sent[3:]
    (notice,) = await notices(listener)
    row = await (await listener.execute("select distinct tx from ticks")).fetchall()
    assert [(notice.tx,)] == row
    assert notice.moves == written.moves
    by_market = {move.market_id: move for move in notice.moves}
    assert by_market[warehouse.ids[BTC]] == MarketMove(
        market_id=warehouse.ids[BTC],
        first_id=10,
        last_id=12,
        open=1.7976931348623157e308,
        high=1.7976931348623157e308,
        low=0.1 + 0.2,
        last=0.1 + 0.2,
        volume=5e-324 + 0.00027625 + 1e-15,
        count=3,
        last_ts_us=NOON_US + 12,
    )


async def test_all_batch_sizes_are_stored_after_a_deallocated_statement(
    warehouse: Warehouse,
) -> None:
    conn = await warehouse.connect()
    writer = TickWriter(conn, warehouse.ids)
    sent: list[Trade] = []
    for size in range(1, trades_writer.FEW_ROWS + 3):
        batch = [trade(len(sent) + n) for n in range(size)]
        assert (await writer.write(batch)).inserted == size
        sent += batch
        if size % 5 == 0:
            await conn.execute("deallocate all")
    assert await warehouse.stored() == sent


async def test_the_day_and_partition_are_those_of_the_trade_however_old(warehouse: Warehouse) -> None:
    writer = await warehouse.writer()
    days = [date(2019, 8, 13), date(2021, 4, 17), date(2024, 2, 29)]
    last_us = [day_start_us(day) + DAY_US - 1 for day in days]
    await writer.write([trade(n, ts_us=ts_us) for n, ts_us in enumerate(last_us)])
    await writer.write([trade(n + 10, ts_us=ts_us - DAY_US + 1) for n, ts_us in enumerate(last_us)])
    rows = await (
        await (await warehouse.connect()).execute(
            "select day, tableoid::regclass::text, count(*) from ticks group by 1, 2 order by 1"
        )
    ).fetchall()
    assert rows == [(day, f"ticks_{day:%Y_%m_%d}", 2) for day in days]


async def test_duplicates_in_a_batch_and_across_batches_and_writers_are_dropped(warehouse: Warehouse) -> None:
    listener = await warehouse.listener()
    writer = await warehouse.writer()
    first = await writer.write([trade(1), trade(2), trade(1, price=9.0), trade(2, ETH)])
    assert (first.inserted, first.duplicates) == (3, {warehouse.ids[BTC]: 1, warehouse.ids[ETH]: 0})
    again = await writer.write([trade(2), trade(3), trade(1)])
    assert (again.inserted, again.duplicates.total()) == (1, 2)
    # Another writer has no memory of these: Postgres finds them, and the new ones are still stored.
    other = await warehouse.writer()
    mixed = await other.write([trade(n) for n in range(1, 1001)])
    assert (mixed.inserted, mixed.duplicates.total()) == (997, 3)
    nothing = await other.write([trade(5)])
    assert (nothing.inserted, nothing.moves) == (0, [])
    stored = await warehouse.stored()
    assert [t.trade_id for t in stored] == list(range(1, 1001))
    assert stored[0].price == 1.5
    counts = [[(m.count, m.first_id, m.last_id) for m in n.moves] for n in await notices(listener)]
    assert counts == [[(2, 1, 2), (1, 2, 2)], [(1, 3, 3)], [(997, 4, 1000)]]


async def test_late_and_reordered_ids_are_stored(warehouse: Warehouse) -> None:
    writer = await warehouse.writer()
    await writer.write([trade(100)])
    await writer.write([trade(7), trade(101), trade(3)])
    assert [t.trade_id for t in await warehouse.stored()] == [3, 7, 100, 101]


async def test_a_batch_whose_answer_was_lost_is_written_again_without_doubling(warehouse: Warehouse) -> None:
    listener = await warehouse.listener()
    batch = [trade(n) for n in range(10)]
    await (await warehouse.writer()).write(batch)
    again = await (await warehouse.writer()).write([*batch, trade(10)], perhaps_stored=True)
    assert (again.inserted, again.duplicates.total()) == (1, 10)
    assert len(await warehouse.stored()) == 11
    assert [n.moves[0].count for n in await notices(listener)] == [10, 1]


async def test_the_same_market_may_use_an_id_that_another_market_uses(warehouse: Warehouse) -> None:
    writer = await warehouse.writer()
    assert (await writer.write([trade(1), trade(1, ETH)])).inserted == 2


async def test_two_writers_of_the_same_trades_at_once_store_each_once(warehouse: Warehouse) -> None:
    shuffled = random.Random(7)
    sent = [trade(n, market) for n in range(3_000) for market in (BTC, ETH)]

    async def write_all(seed: int) -> int:
        mine = list(sent)
        random.Random(seed).shuffle(mine)
        writer, inserted = await warehouse.writer(), 0
        while mine:
            size = shuffled.randint(1, 900)
            batch, mine = mine[:size], mine[size:]
            inserted += (await writer.write(batch)).inserted
        return inserted

    inserted = await asyncio.gather(*(write_all(seed) for seed in range(3)))
    assert sum(inserted) == len(sent)
    for market in (BTC, ETH):
        assert [t.trade_id for t in await warehouse.stored(market)] == list(range(3_000))


async def test_a_lost_connection_is_raised_and_stores_nothing(warehouse: Warehouse) -> None:
    conn = await warehouse.connect()
    writer = TickWriter(conn, warehouse.ids)
    await writer.write([trade(1)])
    killer = await warehouse.connect()
    await killer.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await writer.write([trade(2)])
    assert [t.trade_id for t in await warehouse.stored()] == [1]


async def test_rows_that_cannot_be_true_or_stored_cost_no_other_row(warehouse: Warehouse) -> None:
    conn = await warehouse.connect()
    await conn.execute("alter table ticks add check (price < 1000)")
    writer = await warehouse.writer()
    bad = [trade(50, price=1e6), trade(61, ETH, price=2e6)]
    impossible = [trade(200, ts_us=0), trade(201, ts_us=now_us() + 3 * DAY_US)]
    good = [trade(n, market) for n in range(100) for market in (BTC, ETH)]
    good = [t for t in good if (t.trade_id, t.market) not in {(50, BTC), (61, ETH)}]
    written = await writer.write([*good, *bad, *impossible])
    assert written.inserted == len(good)
    assert written.refused == {warehouse.ids[BTC]: 3, warehouse.ids[ETH]: 1}
    assert written.duplicates.total() == 0
    assert len(await warehouse.stored(BTC)) == len(await warehouse.stored(ETH)) == 99


async def test_a_day_dropped_behind_the_writer_is_made_again(warehouse: Warehouse) -> None:
    writer = await warehouse.writer()
    await writer.write([trade(1)])
    await drop_tick_day(await warehouse.connect(), date(2026, 3, 14))
    assert (await writer.write([trade(2), trade(3)])).inserted == 2
    assert [t.trade_id for t in await warehouse.stored()] == [2, 3]


async def test_moves_of_more_markets_than_fit_one_payload_are_all_announced(warehouse: Warehouse) -> None:
    markets = [Market.canonical(f"binance:COIN{n}-USDT") for n in range(400)]
    conn = await warehouse.listener()
    warehouse.ids.update(await ensure_markets(conn, {m: m.symbol.base for m in markets}))
    await (await warehouse.writer()).write([trade(1, market) for market in markets])
    payloads = [n.payload async for n in conn.notifies(timeout=0.5)]
    assert len(payloads) > 1
    assert all(len(payload) < NOTICE_BYTES for payload in payloads)
    moved = {move.market_id for payload in payloads for move in decode_notice(payload).moves}
    assert moved == {warehouse.ids[market] for market in markets}


async def test_days_ahead_are_made(warehouse: Warehouse) -> None:
    conn = await warehouse.connect()
    await ensure_days_ahead(conn)

    today = utc_day(now_us())
    cursor = await conn.execute("select count(*) from pg_class where relname = any(%s)", [_names(today)])
    assert await cursor.fetchone() == (2,)


def _names(today: date) -> list[str]:
    return [f"ticks_{day:%Y_%m_%d}" for day in (today, today + timedelta(days=1))]


def test_recent_ids_are_an_exact_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades_writer, "RECENT_IDS", 100)
    recent = trades_writer._RecentIds()
    for number in range(1_000):
        recent.add(np.array([number]))
    assert recent.among(np.arange(900, 1_100)) == set(range(900, 1_000))
    assert recent.among(np.array([5, 1_500])) == set()


prices = st.floats(min_value=5e-324, max_value=1e300)
batches = st.lists(
    st.builds(
        Trade,
        st.sampled_from([BTC, ETH]),
        st.integers(0, 2**63 - 1),
        st.integers(trades_writer.FIRST_TRADE_US, 2**53),
        prices,
        prices,
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


@given(batches)
def test_moves_agree_with_a_plain_reading(batch: list[Trade]) -> None:
    ids = {BTC: 1, ETH: 2}
    rows = TickRows.of(batch, ids)
    rows = rows.where(rows.first_of_each())
    once: dict[tuple[Market, int], Trade] = {}
    for t in batch:
        once.setdefault((t.market, t.trade_id), t)
    expected = []
    for market in (BTC, ETH):
        mine = sorted((t for t in once.values() if t.market == market), key=lambda t: (t.ts_us, t.trade_id))
        if mine:
            expected.append(
                (
                    *(ids[market], min(t.trade_id for t in mine), max(t.trade_id for t in mine)),
                    *(mine[0].price, max(t.price for t in mine), min(t.price for t in mine), mine[-1].price),
                    *(len(mine), mine[-1].ts_us),
                )
            )
    stored = [
        (m.market_id, m.first_id, m.last_id, m.open, m.high, m.low, m.last, m.count, m.last_ts_us)
        for m in rows.moves()
    ]
    assert stored == expected
