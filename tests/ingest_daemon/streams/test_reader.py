"""What a reader makes of the frames of a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from structlog.testing import capture_logs

from coinwatch.records import Market
from ingest_daemon.context import DaemonContext
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.storage.queue import Batch, TradeQueue
from ingest_daemon.streams import reader as reader_module
from ingest_daemon.streams.connection import Connection
from ingest_daemon.streams.reader import FrameReader
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import MakeContext
from tests.ingest_daemon.replay import Script, Session, replaying
from tests.waiting import eventually

ZIL, BTC = Market.canonical("binance:ZIL-USDT"), Market.canonical("binance:BTC-USDT")
BAND = Market.canonical("coinbase:BAND-GBP")
SHUTDOWN = json.dumps({"e": "serverShutdown", "E": 1})


class Reading:
    """A reader on an open socket, and what it reported."""

    def __init__(self, context: DaemonContext) -> None:
        self.context = context
        self.events: list[str] = []
        self.rejected: list[Rejected] = []
        self.connection: Connection
        self.reader: FrameReader

    async def batch(self) -> Batch:
        batch = await asyncio.wait_for(self.context.queue.take(100_000), 10)
        assert batch is not None
        return batch

    async def ids(self, count: int) -> list[int]:
        """The ids of the next ``count`` live trades."""
        ids: list[int] = []
        while len(ids) < count:
            ids += [trade.trade_id for trade in (await self.batch()).trades]
        return ids


OpenReading = Callable[..., AbstractAsyncContextManager[Reading]]


@pytest.fixture
def reading(make_context: MakeContext) -> OpenReading:
    """``async with reading(script, market) as socket``: an exchange plays ``script`` to a reader."""

    @asynccontextmanager
    async def opened(script: Script, *markets: Market) -> AsyncIterator[Reading]:
        exchange = EXCHANGES[markets[0].exchange]
        socket = Reading(make_context())

        async def after_subscription(session: Session) -> None:
            await session.subscription()
            await script(session)

        async with replaying(**{exchange.name: after_subscription}) as replay:
            url = f"{replay.url}/{exchange.name}"
            socket.reader = FrameReader(
                socket.context,
                exchange,
                markets,
                LogThrottle(),
                on_rejected=socket.rejected.append,
                on_shutdown=lambda: socket.events.append("shutdown"),
                on_first_frame=lambda: socket.events.append("first frame"),
            )
            socket.connection = await Connection.open(exchange, url, socket.reader)
            socket.reader.on_end = lambda: socket.events.append("end")
            await socket.connection.subscribe(markets)
            try:
                yield socket
            finally:
                await socket.connection.close()

    return opened


async def test_trades_are_queued_in_order_with_their_arrival(reading: OpenReading) -> None:
    async def script(session: Session) -> None:
        await session.send(*frames.binance("ZILUSDT", *range(3_000)))

    async with reading(script, ZIL) as socket:
        batch = await socket.batch()
        assert batch.received_us > batch.trades[0].ts_us
        ids = [trade.trade_id for trade in batch.trades]
        assert ids + await socket.ids(3_000 - len(ids)) == list(range(3_000))
        assert socket.reader.has_traded
        assert socket.events == ["first frame"]


async def test_trades_from_before_the_subscription_are_kept_apart(reading: OpenReading) -> None:
    async def script(session: Session) -> None:
        await session.send(*frames.coinbase("BAND-GBP", 1, kind="last_match"))

    async with reading(script, BAND) as socket:
        batch = await socket.batch()
        assert ([trade.trade_id for trade in batch.past], batch.trades) == ([1], [])
        assert not socket.reader.has_traded


async def test_only_accepted_markets_are_read(reading: OpenReading) -> None:
    switched = asyncio.Event()

    async def script(session: Session) -> None:
        await session.send(*frames.binance("BTCUSDT", 1), *frames.binance("ZILUSDT", 2))
        await switched.wait()
        await session.send(*frames.binance("ZILUSDT", 3), *frames.binance("BTCUSDT", 4))

    async with reading(script, ZIL) as socket:
        assert await socket.ids(1) == [2]
        socket.reader.read([BTC])
        switched.set()
        assert await socket.ids(1) == [4]


async def test_unreadable_frames_are_skipped_counted_and_logged_once(reading: OpenReading) -> None:
    async def script(session: Session) -> None:
        await session.send("{", "null", b"\xff\x00", *frames.binance("ZILUSDT", 1))

    with capture_logs() as logs:
        async with reading(script, ZIL) as socket:
            assert await socket.ids(1) == [1]
            assert socket.context.metrics.bad_frames.labels("binance")._value.get() == 3
    assert [entry["event"] for entry in logs] == ["a frame could not be read"]


async def test_a_fault_of_ours_ends_only_this_socket(
    reading: OpenReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise RuntimeError("a bug")

    broken = asyncio.Event()

    async def script(session: Session) -> None:
        await broken.wait()
        await session.send(*frames.coinbase("BAND-GBP", 1, 2))

    with capture_logs() as logs:
        async with reading(script, BAND) as socket:
            monkeypatch.setattr(socket.reader, "_decode", lambda _: fail())
            broken.set()
            await asyncio.wait({socket.connection.ended}, timeout=10)
            assert socket.connection.ended.done()
            assert socket.events[-1] == "end"
    assert "reading a frame failed" in [entry["event"] for entry in logs]


async def test_refusals_and_announced_shutdowns_are_reported(reading: OpenReading) -> None:
    refusal = {"type": "error", "message": "Failed to subscribe", "reason": "BAND-GBP is not a valid product"}

    async def refuse(session: Session) -> None:
        await session.send(json.dumps(refusal))

    async def announce(session: Session) -> None:
        await session.send(SHUTDOWN)

    async with reading(refuse, BAND) as socket:
        await eventually(lambda: socket.rejected)
        assert socket.rejected[0].native == "BAND-GBP"
    async with reading(announce, ZIL) as socket:
        await eventually(lambda: "shutdown" in socket.events)


async def test_pings_are_answered_and_count_as_frames(reading: OpenReading) -> None:
    answered = asyncio.Event()

    async def script(session: Session) -> None:
        pong = await session.connection.ping(b"here?")
        await pong
        answered.set()

    async with reading(script, ZIL) as socket:
        await asyncio.wait_for(answered.wait(), 10)
        assert socket.connection.has_received
        assert not socket.connection.is_delivering


async def test_a_full_queue_pauses_reading_until_it_has_room(
    reading: OpenReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = 60_000

    async def script(session: Session) -> None:
        await session.send(*frames.binance("ZILUSDT", *range(total)))

    monkeypatch.setattr("ingest_daemon.context.TradeQueue", lambda: TradeQueue(5_000, 1_000))
    async with reading(script, ZIL) as socket:
        queue = socket.context.queue
        await eventually(lambda: queue.full)
        frames_read = socket.reader.frames
        await asyncio.sleep(0.1)
        assert socket.reader.frames == frames_read
        assert len(queue) < total
        assert await socket.ids(total) == list(range(total))
        assert not queue.full


async def test_trades_of_the_last_read_are_queued_before_the_end(reading: OpenReading) -> None:
    async def script(session: Session) -> None:
        await session.send(*frames.binance("ZILUSDT", 1, 2, 3))
        await session.connection.close(1012, "maintenance")

    async with reading(script, ZIL) as socket:
        await asyncio.wait({socket.connection.ended}, timeout=10)
        assert len(socket.context.queue) == 3
        assert socket.events == ["first frame", "end"]
        assert socket.connection.why_ended() == "closed by the exchange with code 1012 maintenance"


async def test_a_message_in_parts_over_the_limit_ends_the_socket(
    reading: OpenReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "MAX_MESSAGE_BYTES", 1_000)

    async def script(session: Session) -> None:
        await session.connection.send(["x" * 600, "x" * 600])

    async with reading(script, ZIL) as socket:
        await asyncio.wait({socket.connection.ended}, timeout=10)
        assert socket.connection.ended.done()
