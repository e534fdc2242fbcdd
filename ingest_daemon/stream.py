"""One socket: connect, subscribe, watch, and connect again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

import structlog
from picows import WSCloseCode, WSError, WSMsgType, WSTransport, ws_connect

from coinwatch.records import Market
from ingest_daemon.backoff import backoff
from ingest_daemon.board import Board
from ingest_daemon.bursts import Burst
from ingest_daemon.metrics import Metrics
from ingest_daemon.queue import TradeQueue
from ingest_daemon.reader import MAX_MESSAGE_BYTES, FrameReader
from sources.exchanges.base import Exchange, Rejected
from warehouse.health import StreamState

CONNECT_TIMEOUT_S = 15.0
SUBSCRIBE_EVERY_S = 0.15
"""Between subscribe frames: Coinbase allows 8 messages a second."""
WATCH_EVERY_S = 1.0
RECEIVE_BUFFER_BYTES = 512 * 1024
CLOSE_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class Stream:
    """The trades of ``markets``, all of one exchange, over one socket at a time."""

    def __init__(
        self,
        exchange: Exchange,
        markets: Sequence[Market],
        root: str,
        queue: TradeQueue,
        board: Board,
        metrics: Metrics,
    ) -> None:
        self._exchange = exchange
        self._wanted = list(markets)
        self._url = exchange.stream_url(root)
        self._queue = queue
        self._board = board
        self._metrics = metrics
        self._bad_frames = Burst()
        self._endings = Burst()
        self._log = log.bind(exchange=exchange.name, url=self._url)

    async def run(self) -> None:
        """Stream until cancelled, or until the exchange has refused every market."""
        waits = backoff()
        wait_s = next(waits)
        last_reason = ""
        while self._wanted:
            await asyncio.sleep(wait_s)
            self._board.set_state(self._wanted, StreamState.CONNECTING)
            started = time.monotonic()
            try:
                reason = await self._connect_and_watch()
            except (WSError, OSError, TimeoutError) as error:
                reason = _describe(error)
            except Exception as error:  # a fault of ours in reading a frame: the other streams go on
                self._log.exception("reading a frame failed")
                reason = _describe(error)
            wait_s = waits.send(time.monotonic() - started)
            self._board.lost(self._wanted, reason)
            self._metrics.reconnects.labels(self._exchange.name).inc()
            held_back = self._endings.held_back()
            if held_back is not None or reason != last_reason:
                self._log.warning(
                    "stream ended", reason=reason, again_in_s=round(wait_s, 2), held_back=held_back or 0
                )
            last_reason = reason
        self._log.error("the exchange refused every market of this stream; it has ended")

    async def _connect_and_watch(self) -> str:
        """Why the connection ended."""
        markets = tuple(self._wanted)
        reader = FrameReader(
            self._exchange.name,
            self._exchange.decoder(markets),
            self._queue,
            self._metrics,
            self._bad_frames,
            self._on_rejected,
        )
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await ws_connect(
                lambda: reader,
                self._url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_pong=False,  # the reader answers pings, so that it knows of them
                max_frame_size=MAX_MESSAGE_BYTES,
            )
        connections = self._metrics.connections.labels(self._exchange.name)
        connections.inc()
        ended = asyncio.ensure_future(transport.wait_disconnected())
        try:
            # The kernel holds no more than a short read's worth: the loop turns often, so that commits go
            # on while a burst is decoded. Measured: a quarter more trades a second, and less memory.
            transport.underlying_transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
            )
            await self._subscribe(transport, markets)
            return await self._watch(transport, reader, ended)
        finally:
            connections.dec()
            reader.flush()
            if not transport.is_disconnected:
                transport.send_close(WSCloseCode.OK)
                transport.disconnect()
                await asyncio.wait({ended}, timeout=CLOSE_TIMEOUT_S)
                transport.disconnect(graceful=False)
            ended.cancel()

    async def _subscribe(self, transport: WSTransport, markets: Sequence[Market]) -> None:
        for number, frame in enumerate(self._exchange.subscribe(markets)):
            if number:
                await asyncio.sleep(SUBSCRIBE_EVERY_S)
            transport.send(WSMsgType.TEXT, frame)
        self._log.info("connected", markets=len(markets))

    async def _watch(self, transport: WSTransport, reader: FrameReader, ended: asyncio.Future[None]) -> str:
        """Send keepalives and listen for silence, until the connection ends: why it did."""
        loop = asyncio.get_running_loop()
        keepalive, every_s = self._exchange.keepalive(), self._exchange.keepalive_s
        keepalive_at = loop.time() + (every_s or 0.0)
        is_live = False
        while not ended.done():
            await asyncio.wait({ended}, timeout=min(WATCH_EVERY_S, self._exchange.max_silence_s / 4))
            if reader.frames and not is_live:
                is_live = True
                self._board.set_state(self._wanted, StreamState.LIVE)
            silent_s = loop.time() - reader.last_frame_at
            if silent_s > self._exchange.max_silence_s and not self._queue.full:
                return f"silent for {silent_s:.0f} s"
            if keepalive is not None and every_s is not None and loop.time() >= keepalive_at:
                keepalive_at += every_s
                transport.send(WSMsgType.TEXT, keepalive)
        if (error := ended.exception()) is not None:
            raise error
        return _describe_close(transport)

    def _on_rejected(self, rejected: Rejected) -> None:
        """One market is refused: it is marked, said once and left out; the others stream on."""
        refused = [m for m in self._wanted if self._exchange.native(m) == rejected.native]
        self._metrics.rejected.labels(self._exchange.name).inc()
        self._log.error(
            "the exchange refused a market" if refused else "the exchange refused a request",
            market=str(refused[0]) if refused else rejected.native,
            reason=rejected.reason,
        )
        for market in refused:
            self._wanted.remove(market)
        self._board.set_state(refused, StreamState.DOWN, f"refused: {rejected.reason}")


def _describe(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer in time"
    return str(error) or type(error).__name__


def _describe_close(transport: WSTransport) -> str:
    handshake = transport.close_handshake
    if handshake is None or handshake.recv is None:
        return "connection lost"
    return f"closed by the exchange with code {handshake.recv.code:d} {handshake.recv.reason}".rstrip()
