"""The real program, ``coinwatch ingest``, as its user starts and ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy

from coinwatch.records import Market, Trade
from coinwatch.settings import DEFAULT_MARKETS, Settings
from coinwatch.times import MINUTE_US, now_us
from simulator.server import Simulator
from simulator.truth import trades_in_minute
from sources.exchanges import EXCHANGES
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import Daemon
from tests.ingest_daemon.replay import Session, replaying
from tests.ingest_daemon.test_daemon import ticks_locked
from tests.stored import stored_trades
from tests.waiting import eventually
from tests.warehouse.service_logins import login
from warehouse.db import roles
from warehouse.db.connect import connect
from warehouse.embedded.ports import free_port
from warehouse.markets import ensure_markets

COINWATCH = str(Path(sys.executable).parent / "coinwatch")
NUMBERED = [market for market in DEFAULT_MARKETS if EXCHANGES[market.exchange].consecutive_ids]
ZIL = Market.canonical("binance:ZIL-USDT")
TRADES_PER_S = 3_000.0


class Program(Daemon):
    """The daemon in a process of its own."""

    process: asyncio.subprocess.Process

    async def is_healthy(self) -> bool:
        return '"status":"ok"' in await self.get("/healthz")

    async def ended(self) -> tuple[int, str]:
        """Its exit code and output."""
        output, _ = await asyncio.wait_for(self.process.communicate(), 60)
        code = self.process.returncode
        assert code is not None
        return code, output.decode()


StartProgram = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture
def start(settings_for: Callable[..., Settings], database: sqlalchemy.URL, tmp_path: Path) -> StartProgram:
    @asynccontextmanager
    async def starting(*arguments: str, **overrides: str) -> AsyncIterator[Program]:
        given = {
            "ingest_port": str(free_port()),
            "database_url": login(database, roles.INGEST)
            .set(drivername="postgresql")
            .render_as_string(hide_password=False),
            "data_dir": str(tmp_path),
            "log_format": "json",
            **overrides,
        }
        program = Program(settings_for(ingest_port=int(given["ingest_port"])), database)
        program.process = await asyncio.create_subprocess_exec(
            *(COINWATCH, "ingest", *arguments),
            env={**os.environ, **{f"COINWATCH_{name.upper()}": value for name, value in given.items()}},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield program
        finally:
            if program.process.returncode is None:
                program.process.kill()
                await program.process.communicate()

    return starting


async def test_stored_trades_equal_the_truth_after_a_sigterm(
    start: StartProgram, database: sqlalchemy.URL
) -> None:
    async with (
        Simulator(trades_per_s=TRADES_PER_S) as simulator,
        start(
            markets=",".join(map(str, NUMBERED)),
            first_reach_s="2",
            rate_limit_scale="1000",
            **simulator.settings_overrides(),
        ) as program,
    ):
        await eventually(lambda: _all_live(program), timeout_s=90)
        began_us = now_us()
        await eventually(lambda: _nothing_is_open(program), timeout_s=90)
        target = await program.stored() + 2.5 * TRADES_PER_S
        await eventually(lambda: _stored_over(program, target), timeout_s=90)
        program.process.send_signal(signal.SIGTERM)
        ended_us = now_us()
        code, output = await program.ended()
        assert code == 0, output
        assert [state for (state,) in await program.query("select distinct state from stream_health")] == [
            "stopped"
        ]
        minutes = range(began_us // MINUTE_US - 1, ended_us // MINUTE_US + 1)
        total = 0
        async with await connect(database, application_name="test") as conn:
            ids = await ensure_markets(conn, dict.fromkeys(NUMBERED, ""))
            for market in NUMBERED:
                stored = await stored_trades(conn, ids[market])
                truth = [
                    trade
                    for minute in minutes
                    for trade in trades_in_minute(simulator.markets[market], minute).records(
                        simulator.markets[market]
                    )
                ]
                total += len(stored)
                _assert_no_trade_is_missing(stored, truth, began_us, ended_us - 500_000)
        assert total > target
        (count,) = (await program.query("select count(*) from ticks"))[0]
        assert count == total


def _assert_no_trade_is_missing(stored: list[Trade], truth: list[Trade], from_us: int, to_us: int) -> None:
    """What is stored is one unbroken piece of the truth that covers the time given."""
    by_id = {trade.trade_id: trade for trade in truth}
    ids = sorted(trade.trade_id for trade in stored)
    wanted = [trade.trade_id for trade in truth if from_us <= trade.ts_us < to_us]
    if wanted:
        assert ids[0] <= wanted[0]
        assert ids[-1] >= wanted[-1]
    assert len(set(ids)) == len(ids), "stored twice"
    if ids:
        assert ids == list(range(ids[0], ids[-1] + 1)), "a trade is missing"
    assert [trade for trade in stored if by_id.get(trade.trade_id, trade) != trade] == []


async def _all_live(program: Program) -> bool:
    rows = await program.query("select count(*) filter (where state = 'live'), count(*) from stream_health")
    return rows == [(len(NUMBERED), len(NUMBERED))]


async def _nothing_is_open(program: Program) -> bool:
    rows = await program.query("select count(*) filter (where state = 'open'), count(*) from stream_gaps")
    open_gaps, gaps = rows[0]
    return bool(open_gaps == 0 and gaps >= len(NUMBERED))


async def _stored_over(program: Program, count: float) -> bool:
    return await program.stored() > count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_commits_queued_trades_and_exits_with_0(
    start: StartProgram, database: sqlalchemy.URL, number: signal.Signals
) -> None:
    locked = asyncio.Event()

    async def script(session: Session) -> None:
        await locked.wait()
        await session.send(*frames.binance("ZILUSDT", *range(30_000)))

    async with replaying(binance=script) as replay:
        async with start("--markets", "Binance:zil_usdt", **replay.settings()) as program:
            await eventually(lambda: _is_connected(program), timeout_s=90)
            async with ticks_locked(database):
                locked.set()
                await eventually(lambda: _has_received(program, 30_000), timeout_s=90)
                program.process.send_signal(number)
                await asyncio.sleep(0.2)
            code, output = await program.ended()
            assert code == 0, output
        assert await program.ids(ZIL) == list(range(30_000))


async def test_a_second_signal_exits_at_once(start: StartProgram, database: sqlalchemy.URL) -> None:
    locked = asyncio.Event()

    async def script(session: Session) -> None:
        await locked.wait()
        await session.send(*frames.binance("ZILUSDT", *range(100)))

    async with (
        replaying(binance=script) as replay,
        start("--markets", str(ZIL), **replay.settings()) as program,
    ):
        await eventually(lambda: _is_connected(program), timeout_s=90)
        async with ticks_locked(database):
            locked.set()
            await eventually(lambda: _has_received(program, 100), timeout_s=90)
            program.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            assert program.process.returncode is None
            program.process.send_signal(signal.SIGTERM)
            code, _ = await asyncio.wait_for(program.ended(), 3)
            assert code != 0


async def _is_connected(program: Program) -> bool:
    return await program.metric("connections") == 1


async def _has_received(program: Program, count: int) -> bool:
    return await program.metric("trades_received_total") == count


@pytest.mark.parametrize(
    ("arguments", "overrides", "words"),
    [
        (["--markets", "nasdaq:BTC-USD"], {}, ["nasdaq", "binance"]),
        (["--markets", "binance:BTCWHAT"], {}, ["BTCWHAT", "BTC-USDT"]),
        (["--markets", ""], {}, ["MARKETS"]),
        ([], {"database_url": "postgresql://stranger:hidden@127.0.0.1:9/none"}, ["127.0.0.1", "9", "none"]),
    ],
)
async def test_a_wrong_setting_is_reported_in_one_line(
    start: StartProgram, arguments: list[str], overrides: dict[str, str], words: list[str]
) -> None:
    async with start(*arguments, **overrides) as program:
        code, output = await program.ended()
        assert code == 1
        assert len(output.strip().splitlines()) == 1, output
        assert all(word in output for word in words), output
        assert "hidden" not in output
