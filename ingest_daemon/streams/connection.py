"""One open websocket: subscribe, keep alive, notice silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable

import structlog
from picows import WSCloseCode, WSMsgType, WSTransport, ws_connect

from coinwatch.records import Market
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams.reader import MAX_MESSAGE_BYTES, FrameReader
from sources.exchanges.base import Exchange

CONNECT_TIMEOUT_S = 15.0
SUBSCRIBE_EVERY_S = 0.15
"""Between subscribe frames: Coinbase allows 8 messages a second."""
WATCH_EVERY_S = 1.0
PING_AFTER_S = 5.0
"""After so long without a frame we ask for one: by the standard a pong is due at once."""
RECEIVE_BUFFER_BYTES = 128 * 1024
CLOSE_TIMEOUT_S = 2.0
SETTLED_S = 2.0
"""How long after the last subscribe frame a stream counts as delivering, once it has brought data."""

log = structlog.get_logger(__name__)


class Connection:
    """``open`` it, ``watch`` it, ``close`` it. Trades flow to the reader's queue all along."""

    def __init__(self, exchange: Exchange, transport: WSTransport, reader: FrameReader) -> None:
        self._exchange = exchange
        self._transport = transport
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self.ended = asyncio.ensure_future(transport.wait_disconnected())
        self.opened_at = self._loop.time()
        self.subscribed_at: dict[Market, float] = {}
        """When each market was asked for, by the loop's clock."""

    @classmethod
    async def open(cls, exchange: Exchange, url: str, reader: FrameReader) -> Connection:
        """Connect. Raises WSError, OSError or TimeoutError."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await ws_connect(
                lambda: reader,
                url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_pong=False,  # the reader answers pings, so that it knows of them
                max_frame_size=MAX_MESSAGE_BYTES,
            )
        # The kernel holds no more than a short read's worth: the loop turns every few milliseconds while a
        # burst is decoded, so that Postgres does not wait. Measured: a quarter more trades a second.
        transport.underlying_transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
        )
        return cls(exchange, transport, reader)

    @property
    def is_heard(self) -> bool:
        """Whether any frame has come."""
        return self._reader.frames > 0

    @property
    def is_delivering(self) -> bool:
        """Whether it has brought trades, and every market was asked for long enough ago to be among them."""
        return (
            self._reader.has_traded
            and bool(self.subscribed_at)
            and self._loop.time() - max(self.subscribed_at.values()) >= SETTLED_S
        )

    async def delivers(self) -> None:
        """Until it does, or has ended."""
        while not (self.is_delivering or self.ended.done()):
            await asyncio.wait({self.ended}, timeout=SETTLED_S / 20)

    def read(self, markets: Collection[Market]) -> None:
        """Take the trades of ``markets`` from now on."""
        self._reader.read(markets)

    def abort(self) -> None:
        """Cut it off."""
        self._transport.disconnect(graceful=False)

    async def subscribe(self, markets: Collection[Market]) -> None:
        """Ask for the trades of ``markets``."""
        await self._send(self._exchange.subscribe(sorted(markets)))
        self.subscribed_at |= dict.fromkeys(markets, self._loop.time())

    async def unsubscribe(self, markets: Collection[Market]) -> None:
        """Ask for them no longer."""
        for market in markets:
            self.subscribed_at.pop(market, None)
        await self._send(self._exchange.unsubscribe(sorted(markets)))

    async def watch(self, queue: TradeQueue, rotate: asyncio.Event) -> str | None:
        """Send keepalives and listen for silence: why the connection ended, None when it is to rotate."""
        keepalive, every_s = self._exchange.keepalive(), self._exchange.keepalive_s
        keepalive_at = self._loop.time() + (every_s or 0.0)
        asked_at = 0.0
        rotating = asyncio.ensure_future(rotate.wait())
        try:
            while not self.ended.done():
                wait_s = min(WATCH_EVERY_S, self._exchange.max_silence_s / 4)
                await asyncio.wait({self.ended, rotating}, timeout=wait_s, return_when="FIRST_COMPLETED")
                if rotate.is_set():
                    return None
                now = self._loop.time()
                silent_s = now - self._reader.last_frame_at
                if silent_s > self._exchange.max_silence_s and not queue.full:
                    return f"silent for {silent_s:.0f} s"
                if self.ended.done():
                    break
                if silent_s > PING_AFTER_S and now - asked_at > PING_AFTER_S:
                    asked_at = now
                    self._transport.send_ping()
                if keepalive is not None and every_s is not None and now >= keepalive_at:
                    keepalive_at += every_s
                    self._transport.send(WSMsgType.TEXT, keepalive)
        finally:
            rotating.cancel()
        return self.why_ended()

    def why_ended(self) -> str:
        """What the exchange or the network said. Raises the error that broke the connection."""
        if self.ended.done() and (error := self.ended.exception()) is not None:
            raise error
        handshake = self._transport.close_handshake
        if handshake is None or handshake.recv is None:
            return "connection lost"
        return f"closed by the exchange with code {handshake.recv.code:d} {handshake.recv.reason}".rstrip()

    async def close(self) -> None:
        """End it, politely if the other side still listens."""
        self._reader.flush()
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
            await asyncio.wait({self.ended}, timeout=CLOSE_TIMEOUT_S)
            self._transport.disconnect(graceful=False)
        if self.ended.done() and not self.ended.cancelled():
            self.ended.exception()  # told by why_ended, if anyone asked
        self.ended.cancel()

    async def _send(self, frames: Iterable[bytes]) -> None:
        async with self._sending:
            for number, frame in enumerate(frames):
                if number:
                    await asyncio.sleep(SUBSCRIBE_EVERY_S)
                if self._transport.is_disconnected:
                    return
                self._transport.send(WSMsgType.TEXT, frame)
