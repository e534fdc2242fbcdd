"""Only an unavailable Postgres is an outage; a refused statement is a fault that ends the daemon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import sqlalchemy
from structlog.testing import capture_logs

from coinwatch.errors import WarehouseRejected
from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon import daemon
from ingest_daemon.context import DaemonContext
from ingest_daemon.recovery.filler import Recoverer
from ingest_daemon.streams.stream_set import Streams
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import RunDaemon
from tests.ingest_daemon.replay import Session, replaying
from tests.waiting import eventually
from warehouse.db.connect import connect
from warehouse.embedded.ports import free_port

ZIL = Market.canonical("binance:ZIL-USDT")
BREAK = "alter table ticks rename column amount to quantity"


async def test_a_refused_commit_ends_the_daemon_and_is_no_outage(
    settings_for: Callable[..., Settings], database: sqlalchemy.URL
) -> None:
    broken = asyncio.Event()

    async def script(session: Session) -> None:
        await session.subscription()
        await broken.wait()
        await session.send(*frames.binance("ZILUSDT", 1, 2, 3))

    with capture_logs() as logs:
        async with replaying(binance=script) as replay:
            settings = settings_for(markets=(ZIL,), ingest_port=free_port(), **replay.settings())
            running = asyncio.create_task(daemon.run(settings, database, stop=asyncio.Event()))
            await eventually(lambda: replay.connections["binance"])
            async with await connect(database, application_name="test") as conn:
                await conn.execute(BREAK.encode())
            broken.set()
            with pytest.raises(WarehouseRejected, match="amount"):
                await asyncio.wait_for(running, 30)
    assert [entry for entry in logs if entry["event"].startswith("Postgres is away")] == []


async def test_a_refused_statement_of_recovery_is_logged_and_retried(
    settings_for: Callable[..., Settings], database: sqlalchemy.URL
) -> None:
    context = DaemonContext.create(settings_for(), database)
    async with await connect(database, application_name="test") as conn, asyncio.TaskGroup() as tasks:
        await conn.execute("alter table stream_gaps rename column cause to why")
        with capture_logs() as logs:
            recovering = tasks.create_task(Recoverer(context, Streams(context, tasks)).run())
            await eventually(lambda: [e for e in logs if e["event"] == "recovery failed; retrying"])
            await conn.execute("alter table stream_gaps rename column why to cause")
            recovering.cancel()
    assert not context.outage


async def test_a_lost_connection_is_an_outage_until_postgres_answers(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))

    with capture_logs() as logs:
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), **replay.settings()) as running,
        ):
            await eventually(lambda: running.ids(ZIL))
            await running.query(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'coinwatch ingest health' and datname = current_database()"
            )
            began = time.monotonic()
            await eventually(lambda: any(entry["event"] == "Postgres stores again" for entry in logs))
            assert time.monotonic() - began < 20
