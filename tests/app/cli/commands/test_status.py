"""``coinwatch status``, against a real database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
from sqlalchemy import URL

from app.cli.shapes import ErrorReport, Status
from coinwatch.health.problems import Code, Problem
from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from tests.app.cli.processes import call_coinwatch
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_tick_days
from warehouse.markets import ensure_markets
from warehouse.ops.disks import Disk
from warehouse.ops.health import StreamHealth, StreamState, beat, write_streams

MARKET = Market.canonical("binance:BTC-USDT")


async def call_status(
    settings: Settings, folder: Path, *arguments: str, **changes: str
) -> CompletedProcess[str]:
    """In a thread, because the command has an event loop of its own."""
    assert settings.database_url is not None
    return await asyncio.to_thread(
        call_coinwatch,
        folder,
        "status",
        *arguments,
        COINWATCH_DATABASE_URL=settings.database_url.get_secret_value(),
        COINWATCH_TICKS_KEEP_DAYS="3",
        **changes,
    )


async def test_stored_trades_and_days_over_their_limit(
    database: URL, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for()
    assert "Trades: 0.00 GB; kept for 3 days or 20 GB." in (await call_status(settings, tmp_path)).stdout
    old = utc_day(now_us()) - timedelta(days=4)
    async with await connect(database, application_name="test") as conn:
        ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
        await ensure_tick_days(conn, [old])
        await conn.execute(
            "insert into ticks (trade_id, ts, price, amount, market_id, day, taker_buys)"
            " values (1, %s, 1, 1, %s, %s, true)",
            (to_datetime(day_start_us(old)), ids[MARKET], old),
        )
        answer = (await call_status(settings, tmp_path)).stdout
        assert f"Trades: 0.00 GB since {old}; kept for 3 days or 20 GB." in answer
        assert f"{old} exceeds this and is kept until its candles are complete: {MARKET}" in answer
        start_us = day_start_us(old)
        await store(conn, ids[MARKET], Interval.M1, [], [Window(start_us, start_us + DAY_US)])
    assert "exceeds this" not in (await call_status(settings, tmp_path)).stdout


async def test_table_is_not_cut_when_piped(
    database: URL, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for()
    names = ["binance:BTC-USDT", "binance:BTC-USDC"]
    async with await connect(database, application_name="test") as conn:
        ids = await ensure_markets(conn, {Market.canonical(name): name for name in names})
        await write_streams(
            conn,
            {market_id: StreamHealth(state=StreamState.LIVE, trades=10**12) for market_id in ids.values()},
            daemon="test",
        )
    result = await call_status(settings, tmp_path)
    assert [line.split()[0] for line in result.stdout.splitlines() if " live " in line] == sorted(names)
    assert "\x1b" not in result.stdout


async def test_low_disks_and_problems_of_services(
    database: URL, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    """The disk here is measured; that of a daemon on another machine is as it reports it."""
    (tmp_path / "data" / "spool").mkdir(parents=True)
    elsewhere = Disk(("spool",), "/var/spool", 10**9, 10**11, 2 * 10**9)
    problem = Problem(Code.SPOOL_FULL, "the spool is full: bring Postgres back")
    async with await connect(database, application_name="test") as conn:
        detail = {"disks": (elsewhere,), "problems": [problem]}
        await beat(conn, "ingest", "other-host:7", to_datetime(now_us()), detail)
    settings = settings_for()
    result = await call_status(settings, tmp_path, COINWATCH_DISK_LOW_GB="1000000000")
    assert result.returncode == 1
    assert "ingest: the spool is full: bring Postgres back" in result.stdout
    low = [line for line in result.stdout.splitlines() if line.startswith("Disk space is low: ")]
    assert low[0].endswith(f"left for spool in {tmp_path / 'data' / 'spool'} on {socket.gethostname()}.")
    assert low[1] == "Disk space is low: 1.0 GB of 100.0 GB left for spool in /var/spool on other-host."
    status = msgspec.json.decode(
        (await call_status(settings, tmp_path, "--json", COINWATCH_DISK_LOW_GB="0")).stdout, type=Status
    )
    assert [(disk.host, disk.low) for disk in status.disks] == [
        (socket.gethostname(), False),
        ("other-host", True),
    ]
    assert [service.problems for service in status.services] == [[problem.message]]
    assert not status.healthy


async def test_json_has_the_documented_shape(settings_for: Callable[..., Settings], tmp_path: Path) -> None:
    result = await call_status(settings_for(), tmp_path, "--json")
    status = msgspec.json.decode(result.stdout, type=Status)
    assert (result.returncode, status.healthy, status.services) == (1, False, [])
    assert msgspec.to_builtins(status) == msgspec.json.decode(result.stdout)


def test_json_error_when_nothing_is_running(tmp_path: Path) -> None:
    result = call_coinwatch(tmp_path, "status", "--demo", "--json")
    error = msgspec.json.decode(result.stderr, type=ErrorReport)
    assert (result.returncode, result.stdout) == (1, "")
    assert (error.error, error.hint, error.retryable) == (
        "not_running",
        "start it with: coinwatch up --demo",
        True,
    )
