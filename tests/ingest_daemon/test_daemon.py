"""Faults, none of which loses a trade or affects another stream."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import psycopg
import pytest
import sqlalchemy
from structlog.testing import capture_logs

from coinwatch.errors import SettingsError, WarehouseError
from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon import daemon as daemon_module
from ingest_daemon.storage import queue
from sources.exchanges.binance import Binance
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import Daemon, RunDaemon
from tests.ingest_daemon.replay import Session, replaying
from tests.waiting import eventually
from warehouse.db.connect import connect, conninfo

ZIL = Market.canonical("binance:ZIL-USDT")
BAND = Market.canonical("coinbase:BAND-GBP")
SKL = Market.canonical("coinbase:SKL-USD")


@asynccontextmanager
async def ticks_locked(url: sqlalchemy.URL) -> AsyncIterator[None]:
    """Nothing can be committed inside."""
    async with await psycopg.AsyncConnection.connect(conninfo(url)) as conn:
        await conn.execute("lock table ticks in share row exclusive mode")
        yield


async def is_stored(daemon: Daemon, count: int) -> bool:
    return await daemon.stored() == count


async def test_unreadable_frames_are_counted_and_skipped(run_daemon: RunDaemon) -> None:
    good = frames.binance("ZILUSDT", *range(100))
    garbage: list[str | bytes] = [
        good[0][:50],
        "",
        "null",
        "<html>busy</html>",
        b"\xff\xfe\x00",
        good[0].replace('"0.21448000"', '"-1"'),
        good[0].replace('"0.21448000"', '"NaN"'),
        "[" * 100_000,
    ]

    async def script(session: Session) -> None:
        await session.subscription()
        for number, frame in enumerate(good):
            await session.send(frame, garbage[number % len(garbage)])

    with capture_logs() as logs:
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
        ):
            await eventually(lambda: is_stored(daemon, 100))
            assert await daemon.metric("frames_bad_total", exchange="binance") == 100
            assert replay.connections == {"binance": 1}
    (line,) = [entry for entry in logs if entry["event"] == "a frame could not be read"]
    assert line["exchange"] == "binance"
    assert good[0].encode().startswith(line["starts"]) or line["starts"] in (good[0][:50], b"")


async def test_a_message_in_parts_is_one_message(run_daemon: RunDaemon) -> None:
    (frame,) = frames.binance("ZILUSDT", 1)

    async def script(session: Session) -> None:
        await session.subscription()
        await session.connection.send([frame[:20], frame[20:100], frame[100:]])
        await session.connection.send([frame[:20].encode(), frame[20:].encode()])

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: is_stored(daemon, 1))
        assert await eventually(lambda: daemon.metric("trades_duplicate_total")) == 1
        assert await daemon.metric("frames_bad_total") == 0


async def test_a_frame_of_20_mb_ends_only_the_connection(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", session.number))
        if session.number == 0:
            await session.send("x" * 20_000_000)

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: is_stored(daemon, 2))
        assert replay.connections["binance"] == 2


async def test_reconnecting_after_a_clean_close_backs_off(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", session.number))
        await session.connection.close(1000, "bye")

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: replay.connections["binance"] == 3)
        async with asyncio.timeout(60):
            await eventually(lambda: is_stored(daemon, 3))
        assert replay.connections["binance"] <= 4

        async def is_reported() -> bool:
            return bool((await daemon.health(ZIL))[1] == "closed by the exchange with code 1000 bye")

        await eventually(is_reported)
        assert await daemon.metric("reconnects_total", exchange="binance") >= 3


async def test_a_refused_market_is_marked_and_the_others_stream(run_daemon: RunDaemon) -> None:
    refusal = {"type": "error", "message": "Failed to subscribe", "reason": "SKL-USD is not a valid product"}

    async def script(session: Session) -> None:
        subscribed = [await session.subscription()]
        if session.number == 0:
            subscribed.append(await session.subscription())
            await session.send(json.dumps(refusal))
        await session.send(*frames.coinbase("BAND-GBP", session.number))
        assert any("SKL-USD" in frame for frame in subscribed) == (session.number == 0)

    with capture_logs() as logs:
        async with (
            replaying(coinbase=script) as replay,
            run_daemon(markets=(BAND, SKL), **replay.settings()) as daemon,
        ):

            async def is_marked() -> bool:
                return await daemon.health(SKL) == ("down", f"refused: {refusal['reason']}")

            await eventually(is_marked)
            await eventually(lambda: _is(daemon, BAND, "live"))
            await eventually(lambda: is_stored(daemon, 1))
            assert await daemon.metric("markets_rejected_total", exchange="coinbase") == 1
    assert [entry["market"] for entry in logs if entry["event"] == "the exchange refused a market"] == [
        str(SKL)
    ]


async def _is(daemon: Daemon, market: Market, state: str) -> bool:
    return bool((await daemon.health(market))[0] == state)


async def test_an_unreachable_exchange_does_not_delay_others(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1, 2, 3))

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL, BAND), coinbase_ws_url="ws://127.0.0.1:9", **replay.settings()) as daemon,
    ):
        await eventually(lambda: is_stored(daemon, 3))
        await eventually(lambda: _is(daemon, BAND, "down"))
        assert (await daemon.health(BAND))[1] == "connection refused"


async def test_connections_cut_by_postgres_lose_or_double_no_trade(run_daemon: RunDaemon) -> None:
    cuts = 8
    cut = asyncio.Event()

    async def script(session: Session) -> None:
        await session.subscription()
        for start in range(0, 200 * cuts, 200):
            cut.clear()
            await session.send(*frames.binance("ZILUSDT", *range(start, start + 200)))
            await cut.wait()

    with capture_logs() as logs:
        async with (
            replaying(binance=script) as replay,
            run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
        ):
            for number in range(cuts):
                await eventually(daemon.stored, timeout_s=90)
                await daemon.query(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name like 'coinwatch ingest%%' and datname = current_database()"
                )
                cut.set()
                more = partial(is_more, daemon, 200 * number)
                await eventually(more, timeout_s=90)
            await eventually(lambda: is_stored(daemon, 200 * cuts), timeout_s=90)
            assert await daemon.ids(ZIL) == list(range(200 * cuts))
            assert await daemon.metric("trades_committed_total") == 200 * cuts
            await eventually(lambda: any(entry["event"] == "Postgres stores again" for entry in logs))
    events = [entry["event"] for entry in logs]
    assert sum(event.startswith("Postgres is away") for event in events) == 1


async def is_more(daemon: Daemon, count: int) -> bool:
    return await daemon.stored() > count


async def test_sockets_pause_while_postgres_is_slow(run_daemon: RunDaemon, database: sqlalchemy.URL) -> None:
    total = 2 * queue.HIGH_MARK

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", *range(total)))

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        async with ticks_locked(database):
            await eventually(lambda: is_full(daemon), timeout_s=90)
            held = [await daemon.metric("trades_received_total") for _ in range(3)]
            assert queue.HIGH_MARK <= held[0] < total
            assert held[0] == held[2], "reading continues although the queue is full"
        await eventually(lambda: is_stored(daemon, total), timeout_s=90)
        assert await daemon.ids(ZIL) == list(range(total))


async def is_full(daemon: Daemon) -> bool:
    received = await daemon.metric("trades_received_total")
    await asyncio.sleep(0.1)
    return bool(received >= queue.HIGH_MARK and received == await daemon.metric("trades_received_total"))


async def test_stopping_stores_queued_trades(run_daemon: RunDaemon, database: sqlalchemy.URL) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", *range(5_000)))

    async with replaying(binance=script) as replay:
        async with run_daemon(markets=(ZIL,), **replay.settings()) as daemon, ticks_locked(database):
            await eventually(lambda: _received(daemon, 5_000))
            daemon.stop.set()
            await asyncio.sleep(0.2)
            assert await daemon.stored() == 0
        assert await daemon.ids(ZIL) == list(range(5_000))
        assert (await daemon.health(ZIL))[0] == "stopped"
        beats = await daemon.query("select service, instance, detail from service_heartbeats")
        assert [beat[0] for beat in beats] == ["ingest"]


async def _received(daemon: Daemon, count: int) -> bool:
    return await daemon.metric("trades_received_total") == count


async def test_stopping_during_an_outage_reports_what_is_lost(
    run_daemon: RunDaemon, database: sqlalchemy.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "DRAIN_TIMEOUT_S", 0.3)

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", *range(50)))

    async with replaying(binance=script) as replay, ticks_locked(database):
        with pytest.raises(WarehouseError, match="were not stored"):
            async with run_daemon(markets=(ZIL,), **replay.settings()) as daemon:
                await eventually(lambda: _received(daemon, 50))


async def test_health_and_metrics_pages(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: is_stored(daemon, 1))
        await eventually(lambda: _is(daemon, ZIL, "live"))
        health = json.loads(await daemon.get("/healthz"))
        assert health == {
            "status": "ok",
            "queue": 0,
            "spool_bytes": 0,
            "markets": {"connecting": 0, "live": 1, "down": 0, "stopped": 0},
            "disks": health["disks"],
        }
        (disk,) = health["disks"]
        assert disk["stores"] == ["spool"]
        assert await daemon.metric("disk_free_bytes", stores="spool") > 0
        assert await daemon.metric("problem") == 0
        assert await daemon.metric("trades_committed_total", exchange="binance") == 1
        assert await daemon.metric("commit_seconds_count") == 1
        assert await daemon.metric("lag_seconds_count", exchange="binance") == 1
        assert await daemon.metric("connections", exchange="binance") == 1
        with pytest.raises(urllib.error.HTTPError, match="404"):
            await daemon.get("/")


async def test_a_taken_port_names_its_setting(
    settings_for: Callable[..., Settings], database: sqlalchemy.URL
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = settings_for(markets=(ZIL,), binance_ws_url="ws://127.0.0.1:9", ingest_port=port)
        with pytest.raises(SettingsError, match=f"{port}.*COINWATCH_INGEST_PORT"):
            await daemon_module.run(settings, database, stop=asyncio.Event())


async def test_reporting_resumes_after_its_connection_is_cut(
    run_daemon: RunDaemon, database: sqlalchemy.URL
) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: _is(daemon, ZIL, "live"))
        async with await connect(database, application_name="test") as conn:
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'coinwatch ingest health'"
            )
            await conn.execute("delete from stream_health")
        await eventually(lambda: _is(daemon, ZIL, "live"))


async def test_a_silent_socket_is_replaced_and_a_live_one_kept_alive(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "max_silence_s", 0.4)
    monkeypatch.setattr(Binance, "keepalive_s", 0.1)
    monkeypatch.setattr(Binance, "keepalive", lambda _: b"still here")
    kept_alive: list[str] = []

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", session.number))
        while session.number == 1:  # pings are enough to be heard
            await session.connection.ping()
            kept_alive.append(await session.subscription())

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):
        await eventually(lambda: len(kept_alive) >= 10)
        assert set(kept_alive) == {"still here"}
        assert replay.connections["binance"] == 2
        await eventually(lambda: is_stored(daemon, 2))
        assert (await daemon.health(ZIL))[1].startswith("silent for")
