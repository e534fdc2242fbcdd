"""The streamed markets follow settings and watches."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest
import sqlalchemy

from coinwatch.records import Market
from ingest_daemon.context import DaemonContext
from ingest_daemon.streams.assignments import Assignments
from ingest_daemon.streams.stream_set import Streams
from simulator.server import Simulator
from tests.ingest_daemon.conftest import Daemon, MakeContext, RunDaemon
from tests.stored import rows
from tests.waiting import eventually
from warehouse.db.connect import connect
from warehouse.ops import leases
from warehouse.ops.health import beat

BTC, XRP = (Market.canonical(name) for name in ("binance:BTC-USDT", "binance:XRP-USDT"))

WATCH = """
insert into alert_rules (client, exchange, base, quote, typed, condition)
values ('me', 'binance', 'XRP', 'USDT', 'xrpusdt', '{"kind":"above","price":1.0}')
"""


async def _state(daemon: Daemon, market: Market) -> str | None:
    rows = await daemon.query(
        "select h.state from stream_health h join markets m on m.id = h.market_id"
        " where m.exchange = %s and m.symbol = %s",
        market.exchange,
        str(market.symbol),
    )
    return rows[0][0] if rows else None


async def _is(daemon: Daemon, market: Market, state: str) -> bool:
    return await _state(daemon, market) == state


async def _has_ticks(daemon: Daemon, market: Market) -> bool:
    return bool(await daemon.ids(market))


async def test_a_watched_market_streams_until_a_while_after(
    run_daemon: RunDaemon,
) -> None:
    async with (
        Simulator(trades_per_s=400) as simulator,
        run_daemon(markets=(BTC,), watch_linger_s=1, **simulator.settings_overrides()) as daemon,
    ):
        await eventually(partial(_has_ticks, daemon, BTC))
        assert await _state(daemon, XRP) is None
        await daemon.query(WATCH)
        await eventually(partial(_has_ticks, daemon, XRP), timeout_s=60)
        await eventually(partial(_is, daemon, XRP, "live"))
        assert simulator.connections["binance"] == 1
        await daemon.query("delete from alert_rules")

        async def is_left() -> bool:
            rows = await daemon.query("select 1 from stream_gaps where cause = 'not wanted'")
            return bool(rows)

        await eventually(is_left)
        await eventually(partial(_is, daemon, XRP, "stopped"))
        await eventually(partial(_is, daemon, BTC, "live"))
        before = len(await daemon.ids(BTC))

        async def has_more() -> bool:
            return len(await daemon.ids(BTC)) > before

        await eventually(has_more)


@pytest.mark.parametrize("mode", ["shared", "standby"])
async def test_leases_are_held_and_released_at_the_end(run_daemon: RunDaemon, mode: str) -> None:
    async with Simulator(trades_per_s=100) as simulator:
        async with run_daemon(
            markets=(BTC, XRP), ingest_mode=mode, **simulator.settings_overrides()
        ) as daemon:
            await eventually(partial(_is, daemon, XRP, "live"))
            names = [name for (name,) in await daemon.query("select name from leases order by name")]
        wanted = [f"market {BTC}", f"market {XRP}"] if mode == "shared" else []
        assert [name for name in names if name.startswith("market")] == wanted
        assert await daemon.query("select name from leases where name like 'market%%'") == []


class Peer:
    """The assignments of one of several daemons, whose sockets are unreachable."""

    def __init__(self, context: DaemonContext, tasks: asyncio.TaskGroup) -> None:
        self.context = context
        self.streams = Streams(context, tasks)
        self.assignments = Assignments(context, self.streams)
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []

    def start(self, conn: psycopg.AsyncConnection) -> None:
        self._running = [
            self._tasks.create_task(self.assignments.run()),
            self._tasks.create_task(self._beat(conn)),
        ]

    async def kill(self) -> None:
        """End without releasing leases."""
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)
        await self.streams.stop()

    async def stop(self) -> None:
        """End as a daemon that stops does."""
        await self.kill()
        await self.assignments.stop()

    async def _beat(self, conn: psycopg.AsyncConnection) -> None:
        detail = {"mode": "shared", "wants": self.assignments.fingerprint}
        while True:
            await beat(conn, "ingest", self.context.daemon, datetime.now(UTC), detail)
            await asyncio.sleep(0.5)


async def test_daemons_share_markets_evenly_and_take_over(
    make_context: MakeContext, conn: psycopg.AsyncConnection, database: sqlalchemy.URL
) -> None:
    wanted = {Market.canonical(f"binance:{base}-USDT") for base in ("BTC", "ETH", "XRP", "SOL")}

    def make(daemon: str, tasks: asyncio.TaskGroup) -> Peer:
        return Peer(make_context(daemon, markets=tuple(wanted), binance_ws_url="ws://127.0.0.1:9"), tasks)

    async with asyncio.TaskGroup() as tasks, await connect(database, application_name="test") as other_conn:
        first, second = make("a:1", tasks), make("b:2", tasks)
        assert first.assignments.fingerprint == second.assignments.fingerprint
        first.start(conn)
        await eventually(lambda: first.streams.markets == wanted)
        second.start(other_conn)
        await eventually(lambda: len(second.streams.markets) == len(first.streams.markets) == 2)
        assert first.streams.markets | second.streams.markets == wanted
        assert first.context.status_board.health.keys() == {
            first.context.market_ids[market] for market in first.streams.markets
        }
        await second.stop()
        began = time.monotonic()
        await eventually(lambda: first.streams.markets == wanted)
        assert time.monotonic() - began < 5
        await first.stop()
    assert await rows(conn, "select name from leases") == []


async def test_leases_of_a_killed_process_of_this_machine_are_released(
    make_context: MakeContext, conn: psycopg.AsyncConnection
) -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    await leases.take(conn, f"{socket.gethostname()}:{ended.pid}", [f"market {BTC}"], 600, 1)
    await leases.take(conn, "elsewhere:1", [f"market {XRP}"], 600, 1)
    async with asyncio.TaskGroup() as tasks:
        peer = Peer(make_context(markets=(BTC, XRP), binance_ws_url="ws://127.0.0.1:9"), tasks)
        peer.start(conn)
        await eventually(lambda: peer.streams.markets == {BTC})
        await peer.stop()
    assert await rows(conn, "select name, holder from leases") == [(f"market {XRP}", "elsewhere:1")]


async def test_a_market_whose_lease_is_lost_is_dropped(
    make_context: MakeContext, conn: psycopg.AsyncConnection
) -> None:
    async with asyncio.TaskGroup() as tasks:
        peer = Peer(make_context(markets=(BTC, XRP), binance_ws_url="ws://127.0.0.1:9"), tasks)
        peer.start(conn)
        await eventually(lambda: peer.streams.markets == {BTC, XRP})
        await conn.execute(
            "update leases set holder = 'b:2', expires_at = now() + interval '1 hour' where name = %s",
            (f"market {XRP}",),
        )
        await eventually(lambda: peer.streams.markets == {BTC})
        assert peer.context.market_ids[XRP] not in peer.context.status_board.health
        await peer.stop()
