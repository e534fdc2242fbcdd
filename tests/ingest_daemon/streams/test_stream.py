"""The markets of one socket: subscribed, refused, interrupted and streamed again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from ingest_daemon.context import DaemonContext
from ingest_daemon.storage.queue import Interruption
from ingest_daemon.streams.stream import Stream
from sources.exchanges import EXCHANGES
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import MakeContext
from tests.ingest_daemon.replay import Session, replaying
from tests.waiting import eventually
from warehouse.ops.health import StreamHealth

ZIL, BTC = Market.canonical("binance:ZIL-USDT"), Market.canonical("binance:BTC-USDT")
BAND, SKL = Market.canonical("coinbase:BAND-GBP"), Market.canonical("coinbase:SKL-USD")
NATIVE = {ZIL: "ZILUSDT", BTC: "BTCUSDT"}


class Exchange:
    """A stand-in exchange: a trade for each subscription, and a record of what was requested."""

    def __init__(self, refusal: str = "") -> None:
        self.requests: list[str] = []
        self.sessions: list[Session] = []
        self._refusal = refusal

    async def script(self, session: Session) -> None:
        self.sessions.append(session)
        while True:
            request = await session.subscription()
            self.requests.append(request)
            if self._refusal and self._refusal in request:
                error = {"type": "error", "message": "", "reason": f"{self._refusal} is not a valid product"}
                await session.send(json.dumps(error))
            number = len(self.requests)
            for native in ("ZILUSDT", "BTCUSDT"):
                if f"{native.lower()}@" in request:
                    await session.send(*frames.binance(native, number))
            if "BAND-GBP" in request:
                await session.send(*frames.coinbase("BAND-GBP", number))

    def subscriptions(self, text: str) -> int:
        return sum(text in request and "UNSUBSCRIBE" not in request for request in self.requests)


class Streaming:
    """A running stream."""

    def __init__(self, context: DaemonContext, stream: Stream, exchange: Exchange) -> None:
        self.context = context
        self.stream = stream
        self.exchange = exchange

    def health(self, market: Market) -> StreamHealth:
        return self.context.status_board.health[self.context.market_ids[market]]

    def is_live(self, market: Market) -> bool:
        return self.health(market).state == "live" and self.stream.subscribed_since(market) is not None

    async def interruptions(self) -> list[Interruption]:
        """All that are queued."""
        interruptions: list[Interruption] = []
        while batch := await self.context.queue.take(1_000, patience_s=0.2):
            interruptions += batch.interruptions
        return interruptions


RunStream = Callable[..., AbstractAsyncContextManager[Streaming]]


@pytest.fixture
def streaming(make_context: MakeContext) -> RunStream:
    """``async with streaming(exchange, markets) as streaming``: all of them are live."""

    @asynccontextmanager
    async def running(
        exchange: Exchange, *markets: Market, live: int | None = None
    ) -> AsyncIterator[Streaming]:
        name = markets[0].exchange
        async with replaying(**{name: exchange.script}) as replay:
            context = make_context(**replay.settings())
            context.market_ids.update({market: number for number, market in enumerate((*markets, BTC), 1)})
            context.status_board.add(context.market_ids)
            stream = Stream(context, EXCHANGES[name])
            streaming = Streaming(context, stream, exchange)
            stream.add(markets)
            task = asyncio.create_task(stream.run())
            try:
                await eventually(lambda: all(streaming.is_live(market) for market in markets[:live]))
                yield streaming
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.wait([task])

    return running


async def test_added_and_removed_markets_are_subscribed_on_the_open_socket(streaming: RunStream) -> None:
    async with streaming(Exchange(), ZIL) as running:
        assert running.stream.room == running.stream.exchange.markets_per_socket - 1
        running.stream.add([BTC])
        await eventually(lambda: running.is_live(BTC))
        running.stream.remove([ZIL])
        await eventually(lambda: any("UNSUBSCRIBE" in request for request in running.exchange.requests))
        assert running.stream.subscribed_since(ZIL) is None
        assert len(running.exchange.sessions) == 1
        assert await running.interruptions() == []


async def test_a_lost_socket_interrupts_its_markets_and_is_replaced(streaming: RunStream) -> None:
    async with streaming(Exchange(), ZIL, BTC) as running:
        await running.interruptions()
        running.exchange.sessions[0].connection.transport.abort()
        await eventually(lambda: len(running.exchange.sessions) == 2)
        await eventually(lambda: running.is_live(ZIL) and running.is_live(BTC))
        assert running.health(ZIL).reconnects == 1
        lost, *others = await running.interruptions()
        assert (set(lost.markets), lost.cause) == ({ZIL, BTC}, GapCause.DISCONNECTED)
        assert {interruption.cause for interruption in others} <= {GapCause.DISCONNECTED}


async def test_a_lost_socket_is_not_replaced_while_the_queue_is_full(
    streaming: RunStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(Exchange(), ZIL) as running:
        queue = running.context.queue
        monkeypatch.setattr(queue, "_high_mark", 1)
        trade = Trade(ZIL, 99, 1, 1.0, 1.0, True)
        queue.put([trade], 1)
        assert queue.full
        running.exchange.sessions[0].connection.transport.abort()
        await eventually(lambda: running.health(ZIL).state == "down")
        await asyncio.sleep(1.0)  # the first waits between attempts are shorter
        assert len(running.exchange.sessions) == 1
        await running.interruptions()
        await eventually(lambda: running.is_live(ZIL))


async def test_resubscribing_interrupts_only_its_market(streaming: RunStream) -> None:
    async with streaming(Exchange(), ZIL, BTC) as running:
        since = running.stream.subscribed_since(ZIL)
        await running.interruptions()
        running.stream.resubscribe(ZIL, GapCause.SILENT)
        await eventually(lambda: running.is_live(ZIL) and running.stream.subscribed_since(ZIL) != since)
        assert await running.interruptions() == [Interruption((ZIL,), GapCause.SILENT)]
        assert running.exchange.subscriptions("zilusdt") == 2
        assert len(running.exchange.sessions) == 1


async def test_reconnecting_records_its_cause(streaming: RunStream) -> None:
    async with streaming(Exchange(), ZIL) as running:
        await running.interruptions()
        running.stream.reconnect(GapCause.SLEPT)
        await eventually(lambda: len(running.exchange.sessions) == 2)
        await eventually(lambda: running.is_live(ZIL))
        first, *_ = await running.interruptions()
        assert first == Interruption((ZIL,), GapCause.SLEPT)
        assert running.health(ZIL).last_error == "the machine slept"


async def test_a_refused_market_is_down_and_retried_later(
    streaming: RunStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(Exchange(refusal="SKL-USD"), BAND, SKL, live=1) as running:
        await eventually(lambda: running.health(SKL).state == "down")
        assert running.health(SKL).last_error == "refused: SKL-USD is not a valid product"
        assert running.is_live(BAND)
        assert running.stream.subscribed_since(SKL) is None
        requests = running.exchange.subscriptions("SKL-USD")
        monkeypatch.setattr("ingest_daemon.streams.stream.RETRY_REFUSED_S", 0.0)
        running.stream.add([])
        await eventually(lambda: running.exchange.subscriptions("SKL-USD") > requests)


async def test_a_stream_without_markets_waits_without_a_socket(make_context: MakeContext) -> None:
    exchange = Exchange()
    async with replaying(binance=exchange.script) as replay:
        context = make_context(**replay.settings())
        context.market_ids.update({ZIL: 1})
        context.status_board.add(context.market_ids)
        stream = Stream(context, EXCHANGES["binance"])
        task = asyncio.create_task(stream.run())
        await asyncio.sleep(0.1)
        assert replay.connections["binance"] == 0
        stream.add([ZIL])
        await eventually(lambda: exchange.subscriptions("zilusdt"))
        task.cancel()
        await asyncio.wait([task])
