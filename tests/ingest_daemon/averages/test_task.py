"""The averaging task: correct from its first row, in one daemon at a time, through outages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy
from structlog.testing import capture_logs

from coinwatch.averaging.average import Method, recompute
from coinwatch.records import Market, Symbol, Trade
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, from_datetime, now_us
from ingest_daemon.averages import task as averages_task
from ingest_daemon.averages.task import LEASE, Averager
from ingest_daemon.context import DaemonContext
from simulator.server import Simulator
from tests.ingest_daemon.conftest import RunDaemon
from tests.waiting import eventually
from warehouse.averages.store import quarantine
from warehouse.db.connect import connect, conninfo
from warehouse.markets import ensure_markets
from warehouse.ops.health import StreamHealth, StreamState, write_streams
from warehouse.ops.leases import hold
from warehouse.trades.writer import TickWriter, ensure_days_ahead

BTC = Symbol("BTC", "USDT")
MARKETS = tuple(Market(name, BTC) for name in ("binance", "coinbase", "kraken", "okx"))
BINANCE, COINBASE, KRAKEN, OKX = MARKETS

Row = dict[str, Any]


class Desk:
    """A warehouse in which markets trade at given prices."""

    def __init__(self, url: sqlalchemy.URL, conn: psycopg.AsyncConnection, ids: dict[Market, int]) -> None:
        self.url = url
        self.conn = conn
        self.ids = ids
        self._trade_ids = itertools.count(1)

    async def trade(self, prices: Mapping[Market, float], *, age_s: float = 0.0, late: bool = False) -> None:
        await self._trade(self.conn, prices, age_s, late=late)

    async def _trade(
        self, conn: psycopg.AsyncConnection, prices: Mapping[Market, float], age_s: float, *, late: bool
    ) -> None:
        ts_us, trade_id = now_us() - round(age_s * SECOND_US), next(self._trade_ids)
        trades = [Trade(market, trade_id, ts_us, price, 1.0, True) for market, price in prices.items()]
        await TickWriter(conn, self.ids, daemon="test").write(trades, late=late)

    @asynccontextmanager
    async def trading(self, prices: Mapping[Market, float]) -> AsyncIterator[None]:
        """Trades at these prices, several times a second."""
        stop = asyncio.Event()

        async def keep_trading() -> None:
            async with await connect(self.url, application_name="test trading") as conn:
                while not stop.is_set():
                    await self._trade(conn, prices, 0.0, late=False)
                    await asyncio.sleep(0.2)

        task = asyncio.create_task(keep_trading())
        try:
            yield
        finally:
            stop.set()
            await task

    async def rows(self) -> list[Row]:
        async with await psycopg.AsyncConnection.connect(conninfo(self.url), autocommit=True) as conn:
            cursor = await conn.execute(
                "select base, quote, ts, price, method, state, exchanges, inputs"
                " from price_averages order by ts"
            )
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]

    async def row_after(self, since_us: int) -> Row | None:
        """The first row later than ``since_us``."""
        return next((row for row in await self.rows() if from_datetime(row["ts"]) > since_us), None)

    async def next_row(self) -> Row:
        """The first row of a second in the future."""
        since_us = now_us()
        row = await eventually(lambda: self.row_after(since_us))
        assert row
        return row


@pytest.fixture
async def desk(database: sqlalchemy.URL) -> AsyncIterator[Desk]:
    async with await connect(database, application_name="test") as conn:
        await ensure_days_ahead(conn)
        yield Desk(database, conn, await ensure_markets(conn, dict.fromkeys(MARKETS, "x")))


RunAverager = Callable[..., Any]


@pytest.fixture
def averaging(database: sqlalchemy.URL, settings_for: Callable[..., Settings]) -> RunAverager:
    @asynccontextmanager
    async def running(holder: str = "one", **overrides: Any) -> AsyncIterator[None]:
        context = DaemonContext.create(settings_for(**overrides), database, daemon=holder)
        task = asyncio.create_task(Averager(context).run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])

    return running


async def test_every_second_is_averaged_once_and_can_be_recomputed(
    desk: Desk, averaging: RunAverager
) -> None:
    async with desk.trading({BINANCE: 100.0, COINBASE: 100.1, KRAKEN: 100.3}), averaging():
        rows = await eventually(lambda: _at_least(desk, 3))
    seconds = [from_datetime(row["ts"]) / SECOND_US for row in rows]
    assert seconds == [seconds[0] + place for place in range(len(rows))]
    for row in rows:
        assert (row["base"], row["quote"], row["price"], row["state"]) == ("BTC", "USDT", 100.1, "ok")
        assert row["exchanges"] == ["binance", "coinbase", "kraken"]
        assert recompute(row["inputs"], Method.MEDIAN) == row["price"]


async def _at_least(desk: Desk, count: int) -> list[Row]:
    rows = await desk.rows()
    return rows if len(rows) >= count else []


async def test_method_and_pace_are_settings(desk: Desk, averaging: RunAverager) -> None:
    async with (
        desk.trading({BINANCE: 100.0, COINBASE: 100.1, KRAKEN: 100.3}),
        averaging(averages_method="mean", averages_every_s=2),
    ):
        rows = await eventually(lambda: _at_least(desk, 2))
    assert [from_datetime(row["ts"]) % (2 * SECOND_US) for row in rows] == [0] * len(rows)
    assert {row["method"] for row in rows} == {"mean"}
    assert rows[0]["price"] == pytest.approx(300.4 / 3)


async def test_the_first_average_includes_stored_trades(desk: Desk, averaging: RunAverager) -> None:
    at_us = now_us()
    old = StreamHealth(
        state=StreamState.LIVE,
        last_price=90.0,
        last_trade_ts_us=at_us - 60 * SECOND_US,
        last_received_us=at_us - 60 * SECOND_US,
    )
    await write_streams(desk.conn, {desk.ids[OKX]: old})
    await desk.trade({BINANCE: 100.0})
    await desk.trade({COINBASE: 100.1, KRAKEN: 100.2}, age_s=1)
    async with averaging():
        (row, *_) = await eventually(desk.rows)
    assert row["price"] == 100.1
    assert row["exchanges"] == ["binance", "coinbase", "kraken"]
    assert row["inputs"]["okx"]["price"] == 90.0
    assert row["inputs"]["okx"]["why"].startswith("silent for 6")
    assert row["inputs"]["coinbase"]["age_s"] >= 1


async def test_recovered_trades_do_not_change_the_average(desk: Desk, averaging: RunAverager) -> None:
    await desk.trade({BINANCE: 100.0})
    async with averaging():
        await eventually(desk.rows)
        await desk.trade({BINANCE: 55.0}, age_s=0.5, late=True)
        row = await desk.next_row()
    assert row["price"] == 100.0


async def test_a_silent_market_is_left_out_of_the_average(
    desk: Desk, averaging: RunAverager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coinwatch.averaging.average.MIN_AGE_LIMIT_US", SECOND_US)

    async def is_alone() -> bool:
        rows = await desk.rows()
        return bool(rows) and rows[-1]["exchanges"] == ["binance"]

    async with averaging(), desk.trading({BINANCE: 100.0}):
        await desk.trade({COINBASE: 100.1})
        await eventually(desk.rows)
        await eventually(is_alone)
    rows = await desk.rows()
    assert rows[-1]["inputs"]["coinbase"]["why"].startswith("silent for")
    assert rows[-1]["state"] == "degraded"


async def test_one_daemon_computes_and_another_takes_over(desk: Desk, averaging: RunAverager) -> None:
    async def holder() -> str:
        cursor = await desk.conn.execute("select holder from leases where name = %s", (LEASE,))
        row = await cursor.fetchone()
        return row[0] if row else ""

    async with averaging("one"):
        assert await eventually(holder) == "one"
        async with averaging("two"):
            await desk.trade({BINANCE: 100.0})
            await desk.next_row()
            assert await holder() == "one"
            await desk.conn.execute("delete from leases")
            await hold(desk.conn, LEASE, "two", 5)
            await desk.trade({BINANCE: 101.0})
            await eventually(lambda: _price_is(desk, 101.0))
            assert await holder() == "two"
        await desk.trade({BINANCE: 102.0})
        await eventually(lambda: _price_is(desk, 102.0))
        assert await holder() == "one"
    assert await holder() == ""


async def _price_is(desk: Desk, price: float) -> bool:
    rows = await desk.rows()
    return bool(rows) and rows[-1]["price"] == price


async def test_the_lease_of_a_killed_daemon_expires(desk: Desk, averaging: RunAverager) -> None:
    await hold(desk.conn, LEASE, "killed", 1.5)
    async with desk.trading({BINANCE: 100.0}), averaging():
        await asyncio.sleep(1.2)
        assert await desk.rows() == []
        await eventually(desk.rows)


async def test_averaging_resumes_after_an_outage(desk: Desk, averaging: RunAverager) -> None:
    with capture_logs() as logs:
        async with desk.trading({BINANCE: 100.0}), averaging():
            await eventually(desk.rows)
            for _ in range(2):
                await desk.conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database()"
                    " and application_name like 'coinwatch ingest averages%'"
                )
                await asyncio.wait_for(desk.next_row(), 10)
    rows = await desk.rows()
    assert len({row["ts"] for row in rows}) == len(rows)
    failures = [entry for entry in logs if entry["event"] == "averages are not computed; retrying"]
    assert len(failures) == 1


async def test_a_slow_second_leaves_no_backlog(desk: Desk, averaging: RunAverager) -> None:
    async with desk.trading({BINANCE: 100.0}), averaging():
        await eventually(desk.rows)
        async with await psycopg.AsyncConnection.connect(conninfo(desk.url)) as blocking:
            await blocking.execute("lock table price_averages in access exclusive mode")
            blocked_us = now_us()
            await asyncio.sleep(2.6)
        freed_us = now_us()
        await desk.next_row()
    seconds = [from_datetime(row["ts"]) for row in await desk.rows()]
    assert len([ts_us for ts_us in seconds if blocked_us < ts_us < freed_us]) <= 1
    assert len(set(seconds)) == len(seconds)


async def test_a_quarantined_market_is_left_out_and_returns(desk: Desk, averaging: RunAverager) -> None:
    since_us = now_us() - SECOND_US
    await quarantine(desk.conn, desk.ids[KRAKEN], since_us, 2.0)
    async with averaging():
        async with desk.trading({BINANCE: 100.0, COINBASE: 100.1, KRAKEN: 31.0}):
            (row, *_) = await eventually(desk.rows)
            assert row["exchanges"] == ["binance", "coinbase"]
            assert row["inputs"]["kraken"]["why"] == "223% from the others"
        async with desk.trading({BINANCE: 100.0, COINBASE: 100.1, KRAKEN: 100.0}):
            await eventually(lambda: _is_released(desk))


async def _is_released(desk: Desk) -> bool:
    cursor = await desk.conn.execute("select released_at from quarantines")
    return await cursor.fetchone() != (None,)


async def test_a_market_of_another_coin_is_quarantined(
    desk: Desk, averaging: RunAverager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coinwatch.averaging.quarantine.QUARANTINE_AFTER_US", SECOND_US)

    async def entered() -> list[Any]:
        return await (await desk.conn.execute("select market_id, released_at from quarantines")).fetchall()

    with capture_logs() as logs:
        async with averaging(), desk.trading({BINANCE: 100.0, COINBASE: 100.1, KRAKEN: 31.0}):
            assert await eventually(entered) == [(desk.ids[KRAKEN], None)]
    assert [entry["market"] for entry in logs if "taken for another coin" in entry["event"]] == [
        "kraken:BTC-USDT"
    ]


async def test_streamed_and_polled_markets_are_averaged(run_daemon: RunDaemon) -> None:
    streamed = tuple(Market(name, BTC) for name in ("binance", "coinbase", "kraken", "htx"))
    given = {"markets": streamed, "polled_markets": (Market("gateio", BTC),), "poll_every_s": 1.0}
    async with (
        Simulator(trades_per_s=400) as simulator,
        run_daemon(**given, **simulator.settings_overrides()) as daemon,
    ):

        async def is_sound() -> bool:
            rows = await daemon.query(
                "select price, inputs, state from price_averages where array_length(exchanges, 1) = 5"
            )
            for price, inputs, state in rows:
                assert recompute(inputs, Method.MEDIAN) == price
                assert state == "ok"
            return len(rows) >= 2

        await eventually(is_sound, 20)


async def test_setting_the_clock_back_does_not_prolong_the_wait() -> None:
    times = iter([10_300_000, 10_300_000, 10_999_999, 11_000_001])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    assert await averages_task._next(SECOND_US, lambda: next(times), sleep) == 11_000_000
    assert slept == [0.7, 0.000001]
    times = iter([10_300_000, 10_300_000, 3_000_000])
    assert await averages_task._next(SECOND_US, lambda: next(times), sleep) == 11_000_000
