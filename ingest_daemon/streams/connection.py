"""One open websocket: subscribe, keep alive, detect silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable

import structlog
from picows import WSCloseCode, WSMsgType, WSTransport, ws_connect

from coinwatch.outside.text import one_line
from coinwatch.records import Market
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams.reader import MAX_MESSAGE_BYTES, FrameReader
from sources.exchanges.base import Exchange

CONNECT_TIMEOUT_S = 15.0
SUBSCRIBE_EVERY_S = 0.15
"""Between subscribe frames: Coinbase allows 8 messages a second."""
WATCH_EVERY_S = 1.0
PING_AFTER_S = 5.0
"""After this long without a frame a ping is sent: by the standard a pong must follow at once."""
RECEIVE_BUFFER_BYTES = 128 * 1024
CLOSE_TIMEOUT_S = 2.0
SETTLED_S = 2.0
"""How long after the last subscribe frame a socket that brings trades counts as delivering."""

log = structlog.get_logger(__name__)


class Connection:
    """A socket to ``open``, ``watch`` and ``close``. Its reader puts trades into the queue meanwhile."""

    def __init__(self, exchange: Exchange, transport: WSTransport, reader: FrameReader) -> None:
        self._exchange = exchange
        self._transport = transport
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self.ended = asyncio.ensure_future(transport.wait_disconnected())
        self.opened_at = self._loop.time()
        self.subscribed_at: dict[Market, float] = {}
        """When each market was subscribed to, by the loop's clock."""

    @classmethod
    async def open(cls, exchange: Exchange, url: str, reader: FrameReader) -> Connection:
        """Connect to ``url``.

        Raises:
            WSError, OSError, TimeoutError: The connection could not be made.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await ws_connect(
                lambda: reader,
                url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_pong=False,  # the reader answers pings, because they count as received frames
                max_frame_size=MAX_MESSAGE_BYTES,
            )
        # A small receive buffer keeps each read short, so that the loop can serve Postgres every few
        # milliseconds while a burst is decoded. Measured: a quarter more trades a second.
        transport.underlying_transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
        )
        return cls(exchange, transport, reader)

    @property
    def has_received(self) -> bool:
        """Whether any frame has arrived."""
        return self._reader.frames > 0

    @property
    def is_delivering(self) -> bool:
        """Whether it has brought trades, and every market was subscribed to at least SETTLED_S ago."""
        return (
            self._reader.has_traded
            and bool(self.subscribed_at)
            and self._loop.time() - max(self.subscribed_at.values()) >= SETTLED_S
        )

    async def delivers(self) -> None:
        """Wait until it delivers or has ended."""
        while not (self.is_delivering or self.ended.done()):
            await asyncio.wait({self.ended}, timeout=SETTLED_S / 20)

    def read(self, markets: Collection[Market]) -> None:
        """Accept the trades of ``markets`` from now on, and of no others."""
        self._reader.read(markets)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self._transport.disconnect(graceful=False)

    async def subscribe(self, markets: Collection[Market]) -> None:
        """Subscribe to the trades of ``markets``."""
        await self._send(self._exchange.subscribe(sorted(markets)))
        self.subscribed_at |= dict.fromkeys(markets, self._loop.time())

    async def unsubscribe(self, markets: Collection[Market]) -> None:
        """Unsubscribe from ``markets``."""
        for market in markets:
            self.subscribed_at.pop(market, None)
        await self._send(self._exchange.unsubscribe(sorted(markets)))

    async def watch(self, queue: TradeQueue, rotate: asyncio.Event) -> str | None:
        """Send keepalives and detect silence until the connection ends.

        Returns:
            Why it ended; None when ``rotate`` was set and it is to be replaced.
        """
        keepalive, every_s = self._exchange.keepalive(), self._exchange.keepalive_s
        keepalive_at = self._loop.time() + (every_s or 0.0)
        pinged_at = 0.0
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
                if silent_s > PING_AFTER_S and now - pinged_at > PING_AFTER_S:
                    pinged_at = now
                    self._transport.send_ping()
                if keepalive is not None and every_s is not None and now >= keepalive_at:
                    keepalive_at += every_s
                    self._transport.send(WSMsgType.TEXT, keepalive)
        finally:
            rotating.cancel()
        return self.why_ended()

    def why_ended(self) -> str:
        """The reason the exchange or the network gave. Raises the error that broke the connection."""
        if self._reader.refusal is not None:
            return f"ended: {self._reader.refusal}"
        if self.ended.done() and (error := self.ended.exception()) is not None:
            raise error
        handshake = self._transport.close_handshake
        if handshake is None or handshake.recv is None:
            return "connection lost"
        reason = one_line(handshake.recv.reason, 125)
        return f"closed by the exchange with code {handshake.recv.code:d} {reason}".rstrip()

    async def close(self) -> None:
        """Close the connection, with a closing handshake if the other side is still there."""
        self._reader.flush()
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
            await asyncio.wait({self.ended}, timeout=CLOSE_TIMEOUT_S)
            self._transport.disconnect(graceful=False)
        if self.ended.done() and not self.ended.cancelled():
            self.ended.exception()  # why_ended raises it; without this asyncio warns
        self.ended.cancel()

    async def _send(self, frames: Iterable[bytes]) -> None:
        async with self._sending:
            for number, frame in enumerate(frames):
                if number:
                    await asyncio.sleep(SUBSCRIBE_EVERY_S)
                if self._transport.is_disconnected:
                    return
                self._transport.send(WSMsgType.TEXT, frame)
