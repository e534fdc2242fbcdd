"""An open websocket: subscriptions, keepalives, silence and why it ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from picows import WSError

from coinwatch.records import Market
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams import connection as connection_module
from ingest_daemon.streams.connection import Connection
from ingest_daemon.streams.reader import FrameReader
from sources.exchanges import EXCHANGES
from sources.exchanges.binance import Binance
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import MakeContext
from tests.ingest_daemon.replay import Script, Session, replaying
from tests.waiting import eventually
from warehouse.embedded.ports import free_port

ZIL, BTC = Market.canonical("binance:ZIL-USDT"), Market.canonical("binance:BTC-USDT")

OpenConnection = Callable[..., AbstractAsyncContextManager[Connection]]


@pytest.fixture
def make_reader(make_context: MakeContext) -> Callable[[], FrameReader]:
    def make() -> FrameReader:
        return FrameReader(
            make_context(),
            EXCHANGES["binance"],
            [ZIL, BTC],
            LogThrottle(),
            on_rejected=lambda _: None,
            on_shutdown=lambda: None,
            on_first_frame=lambda: None,
        )

    return make


@pytest.fixture
def connected(make_reader: Callable[[], FrameReader]) -> OpenConnection:
    """``async with connected(script) as connection``: an exchange plays ``script`` to it."""

    @asynccontextmanager
    async def opened(script: Script) -> AsyncIterator[Connection]:
        async with replaying(binance=script) as replay:
            connection = await Connection.open(EXCHANGES["binance"], f"{replay.url}/binance", make_reader())
            try:
                yield connection
            finally:
                await connection.close()

    return opened


async def stay_silent(_: Session) -> None:
    pass


async def watched(connection: Connection, rotate: asyncio.Event | None = None) -> str | None:
    return await asyncio.wait_for(connection.watch(TradeQueue(), rotate or asyncio.Event()), 10)


async def test_a_refused_connection_is_an_error(make_reader: Callable[[], FrameReader]) -> None:
    with pytest.raises((OSError, WSError)):
        await Connection.open(EXCHANGES["binance"], f"ws://127.0.0.1:{free_port()}/ws", make_reader())


async def test_subscriptions_are_sent_and_their_time_is_kept(connected: OpenConnection) -> None:
    sent: list[dict[str, object]] = []

    async def script(session: Session) -> None:
        while True:
            sent.append(json.loads(await session.subscription()))

    async with connected(script) as connection:
        await connection.subscribe([ZIL, BTC])
        first = dict(connection.subscribed_at)
        assert first.keys() == {ZIL, BTC}
        await connection.unsubscribe([BTC])
        assert connection.subscribed_at == {ZIL: first[ZIL]}
        await eventually(lambda: len(sent) == 2)
    assert [frame["method"] for frame in sent] == ["SUBSCRIBE", "UNSUBSCRIBE"]
    assert sent[1]["params"] == ["btcusdt@aggTrade"]


async def test_it_delivers_when_trades_arrive_after_the_subscription(
    connected: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "SETTLED_S", 0.2)

    async def script(session: Session) -> None:
        await session.send('{"result":null,"id":1}')
        await session.subscription()
        await session.send(*frames.binance("ZILUSDT", 1))

    async with connected(script) as connection:
        await eventually(lambda: connection.has_received)
        assert not connection.is_delivering
        await connection.subscribe([ZIL])
        await asyncio.wait_for(connection.delivers(), 10)
        assert connection.is_delivering


async def test_a_silent_connection_ends_and_is_pinged_before(
    connected: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "max_silence_s", 0.4)
    async with connected(stay_silent) as connection:
        assert await watched(connection) == "silent for 0 s"
    monkeypatch.setattr(connection_module, "PING_AFTER_S", 0.1)
    async with connected(stay_silent) as connection:  # which answers pings
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.watch(TradeQueue(), asyncio.Event()), 1)
        assert connection.has_received


async def test_a_paused_connection_is_not_silent(
    connected: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "max_silence_s", 0.1)
    full = TradeQueue(high_mark=0)
    full.put([], 1)
    assert full.full
    async with connected(stay_silent) as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.watch(full, asyncio.Event()), 0.6)


async def test_keepalives_are_sent_at_their_interval(
    connected: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "max_silence_s", 1.0)
    monkeypatch.setattr(Binance, "keepalive_s", 0.2)
    monkeypatch.setattr(Binance, "keepalive", lambda _: b"alive")
    received: list[str] = []

    async def script(session: Session) -> None:
        while True:
            received.append(await session.subscription())
            await session.send("{}")

    async with connected(script) as connection:
        watching = asyncio.create_task(watched(connection))
        await eventually(lambda: len(received) >= 3)
        watching.cancel()
    assert set(received) == {"alive"}


async def test_watching_stops_for_a_replacement(connected: OpenConnection) -> None:
    rotate = asyncio.Event()
    async with connected(stay_silent) as connection:
        watching = asyncio.create_task(watched(connection, rotate))
        rotate.set()
        assert await watching is None
        assert not connection.ended.done()


async def test_the_reason_of_the_end_is_that_of_the_exchange(connected: OpenConnection) -> None:
    async def close(session: Session) -> None:
        await session.subscription()
        await session.connection.close(1001, "restart")

    async def drop(session: Session) -> None:
        await session.subscription()
        session.connection.transport.abort()

    async with connected(close) as connection:
        await connection.subscribe([ZIL])
        assert await watched(connection) == "closed by the exchange with code 1001 restart"
    async with connected(drop) as connection:
        await connection.subscribe([ZIL])
        with suppress(OSError):  # the kernel may report the reset
            assert await watched(connection) == "connection lost"


async def test_an_aborted_connection_ends_at_once(connected: OpenConnection) -> None:
    async with connected(stay_silent) as connection:
        connection.abort()
        await asyncio.wait({connection.ended}, timeout=5)
        assert connection.ended.done()
