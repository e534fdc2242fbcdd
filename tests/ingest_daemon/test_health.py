"""The daemon reports what it cannot do, keeps what it cannot store, and logs both once."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from structlog.testing import capture_logs

from coinwatch.records import Market
from tests.chaos.small_disk import small_disk
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import Daemon, RunDaemon
from tests.ingest_daemon.replay import Session, replaying
from tests.waiting import eventually
from warehouse.db.connect import conninfo

ZIL = Market.canonical("binance:ZIL-USDT")
SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = %s and application_name like 'coinwatch ingest%%'"
)
Logs = list[MutableMapping[str, Any]]


def set_read_only(database: sqlalchemy.URL, state: str) -> None:
    """As a provider does when the disk is full: for new sessions, so the daemon's are ended."""
    with psycopg.connect(conninfo(database.set(database="postgres")), autocommit=True) as conn:
        conn.execute(
            sql.SQL("alter database {} set default_transaction_read_only = {}").format(
                sql.Identifier(database.database or ""), sql.SQL(state)
            )
        )
        conn.execute(SESSIONS, [database.database])


async def reasons(daemon: Daemon) -> dict[str, str]:
    """The messages of the health page by code; empty when it is healthy."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{daemon.settings.ingest_port}/healthz")
    body = answer.json()
    assert (answer.status_code, body["status"]) in ((200, "ok"), (503, "unavailable"))
    return {reason["code"]: reason["message"] for reason in body.get("reasons", [])}


def starting(logs: Logs, text: str) -> int:
    return sum(entry["event"].startswith(text) for entry in logs)


async def test_a_read_only_database_is_503_and_trades_are_spooled(
    run_daemon: RunDaemon, database: sqlalchemy.URL
) -> None:
    more = asyncio.Event()

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))
        await more.wait()
        await session.send(*frames.binance("ZILUSDT", 2, 3))

    with capture_logs() as logs:
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
        ):
            await eventually(lambda: daemon.ids(ZIL))
            set_read_only(database, "on")
            more.set()

            async def is_spooled() -> bool:
                return await daemon.metric("spool_bytes") > 0

            await eventually(is_spooled, 20)
            assert "primary server" in (await reasons(daemon))["database_read_only"]
            assert await daemon.metric("problem", code="database_read_only") == 1
            set_read_only(database, "off")

            async def is_healthy() -> bool:
                return await reasons(daemon) == {}

            await eventually(is_healthy, 30)
            assert await daemon.ids(ZIL) == [1, 2, 3]
            await eventually(lambda: starting(logs, "Postgres stores again"), 30)
    assert starting(logs, "Postgres is read-only: trades are kept in the spool") == 1
    assert starting(logs, "Postgres stores again") == 1


async def test_with_a_full_disk_too_trades_wait_in_memory(
    run_daemon: RunDaemon, database: sqlalchemy.URL, tmp_path: Path
) -> None:
    """Neither the spool nor Postgres stores; then Postgres does, while the disk of the spool stays full."""
    more = asyncio.Event()

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))
        await more.wait()
        await session.send(*frames.binance("ZILUSDT", *range(2, 2_000)))

    with small_disk(tmp_path / "disk", 20) as disk, capture_logs() as logs:
        data_dir = disk.path / "data"
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), data_dir=data_dir, disk_low_gb=0.01, **replay.settings()) as daemon,
        ):
            await eventually(lambda: daemon.ids(ZIL))
            disk.fill()
            set_read_only(database, "on")
            more.set()

            async def is_stuck() -> bool:
                return "spool_full" in await reasons(daemon)

            await eventually(is_stuck, 20)
            problems = await reasons(daemon)
            assert "database_read_only" in problems
            assert "No space left on device; free space on its disk" in problems["spool_full"]
            set_read_only(database, "off")

            async def is_healthy() -> bool:
                return await reasons(daemon) == {}

            await eventually(is_healthy, 30)
            assert await daemon.ids(ZIL) == list(range(1, 2_000))

            async def is_low() -> bool:
                return await daemon.metric("disk_low", stores="spool") == 1

            await eventually(is_low, 20)
            disk.free()

            def is_enough() -> bool:
                return starting(logs, "disk space is sufficient again") == 1

            await eventually(is_enough, 20)
    assert starting(logs, "nothing can be stored: trades are kept in memory") == 1
    assert starting(logs, "disk space is low: the disk of spool") == 1


async def test_with_no_market_live_the_daemon_is_unwell(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_daemon.health.ALL_DOWN_S", 0.5)
    with capture_logs() as logs:
        async with run_daemon(
            markets=(ZIL,), binance_ws_url="ws://127.0.0.1:9", binance_rest_url="http://127.0.0.1:9"
        ) as daemon:

            async def is_down() -> bool:
                return "connection refused" in (await reasons(daemon)).get("markets_down", "")

            await eventually(is_down, 20)

            async def has_retried() -> bool:
                return await daemon.metric("reconnects_total") >= 4

            await eventually(has_retried)
    assert [entry["reason"] for entry in logs if entry["event"] == "stream ended"] == ["connection refused"]


async def test_a_market_that_is_live_again_ends_the_problem(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_daemon.health.ALL_DOWN_S", 0.2)
    monkeypatch.setattr("ingest_daemon.streams.stream.RETURNED_AFTER_S", 0.2)
    well = asyncio.Event()

    async def script(session: Session) -> None:
        if not well.is_set():
            session.connection.transport.abort()
            return
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))

    with capture_logs() as logs:
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
        ):

            async def is_down() -> bool:
                return "markets_down" in await reasons(daemon)

            await eventually(is_down, 20)
            well.set()

            async def is_healthy() -> bool:
                return await reasons(daemon) == {}

            await eventually(is_healthy, 20)
            await eventually(lambda: starting(logs, "stream is back") == 1)
    assert starting(logs, "connected") <= 1
