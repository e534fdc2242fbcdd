"""From frames to trades: what happens to everything one socket receives. The hot path."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport

from coinwatch.errors import BadMessage
from coinwatch.records import Trade
from coinwatch.times import now_us
from ingest_daemon.bursts import Burst
from ingest_daemon.metrics import Metrics
from ingest_daemon.queue import TradeQueue
from sources.exchanges.base import HEARTBEAT, SHUTDOWN, Decoder, Past, Rejected, Reply

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A longer one costs the connection. The longest we know of, a full order book, has 2 MB."""

_TEXT = WSMsgType.TEXT

log = structlog.get_logger(__name__)


class FrameReader(WSListener):
    """Decodes frames as they come and puts the trades of each read into the queue together."""

    def __init__(
        self,
        exchange: str,
        decode: Decoder,
        queue: TradeQueue,
        metrics: Metrics,
        bad_frames: Burst,
        *,
        on_rejected: Callable[[Rejected], None],
        on_shutdown: Callable[[], None],
        on_heard: Callable[[], None],
    ) -> None:
        self.decode = decode
        """May be replaced by one for other markets at any time."""
        self.on_end: Callable[[], None] = _nothing
        """Called when the socket is gone and all it brought is in the queue."""
        self._exchange = exchange
        self._queue = queue
        self._metrics = metrics
        self._bad_frames = bad_frames
        self._on_rejected = on_rejected
        self._on_shutdown = on_shutdown
        self._on_heard = on_heard
        self._received = metrics.received.labels(exchange)
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._trades: list[Trade] = []
        self._past: list[Trade] = []
        self._skipped: Counter[str] = Counter()
        self._parts: list[bytes] = []
        self._flush_is_due = False
        self.frames = 0
        """Reads in which at least one frame ended, pings included."""
        self.has_traded = False
        self.last_frame_at = self._loop.time()
        """By the event loop's clock."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._queue.attach(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)
        if frame.msg_type is _TEXT and frame.fin:
            message = frame.get_payload_as_bytes()
        elif (assembled := self._other_frame(transport, frame)) is not None:
            message = assembled
        else:
            return
        try:
            decoded = self.decode(message)
        except BadMessage as error:
            self._bad_frame(error)
            return
        if isinstance(decoded, list):
            self._trades += decoded
        elif isinstance(decoded, Rejected):
            self._on_rejected(decoded)
        elif isinstance(decoded, Past):
            self._past += decoded.trades
        elif isinstance(decoded, Reply):
            self._skipped[HEARTBEAT.kind] += 1
            transport.send(_TEXT, decoded.frame)
        else:
            self._skipped[decoded.kind] += 1
            if decoded is SHUTDOWN:
                self._on_shutdown()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._queue.detach(self)
        self.flush()
        self.on_end()

    def flush(self) -> None:
        """Hand over what was read since the last time."""
        self._flush_is_due = False
        self.frames += 1
        self.last_frame_at = self._loop.time()
        if self.frames == 1:
            self._on_heard()
        if self._trades:
            trades, self._trades = self._trades, []
            received_us = now_us()
            self.has_traded = True
            self._received.inc(len(trades))
            self._metrics.delays.saw(self._exchange, received_us - trades[-1].ts_us)
            self._queue.put(trades, received_us)
        if self._past:
            past, self._past = self._past, []
            self._received.inc(len(past))
            self._queue.put_past(past, now_us())
        if self._skipped:
            for kind, count in self._skipped.items():
                self._metrics.skipped.labels(self._exchange, kind).inc(count)
            self._skipped.clear()

    def pause(self) -> None:
        """Read no more until ``resume``: the sender waits."""
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        self.last_frame_at = self._loop.time()
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def _other_frame(self, transport: WSTransport, frame: WSFrame) -> bytes | None:
        """A whole message, when ``frame`` ends one. Control frames are answered here."""
        match frame.msg_type:
            case WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            case WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            case WSMsgType.TEXT | WSMsgType.BINARY | WSMsgType.CONTINUATION:
                self._parts.append(frame.get_payload_as_bytes())
                if sum(map(len, self._parts)) > MAX_MESSAGE_BYTES:
                    raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, "message in parts is too long")
                if frame.fin:
                    message = b"".join(self._parts)
                    self._parts.clear()
                    return message
        return None

    def _bad_frame(self, error: BadMessage) -> None:
        self._metrics.bad_frames.labels(self._exchange).inc()
        held_back = self._bad_frames.held_back()
        if held_back is not None:
            log.warning(
                "a frame could not be read",
                exchange=self._exchange,
                reason=str(error),
                starts=error.raw,
                held_back=held_back,
            )


def _nothing() -> None:
    pass
