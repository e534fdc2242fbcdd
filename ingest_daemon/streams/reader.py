"""From frames to trades: decodes everything a socket receives. The hot path."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

import structlog
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from coinwatch.errors import BadMessage
from coinwatch.records import Market, Trade
from coinwatch.times import now_us
from ingest_daemon.context import DaemonContext
from ingest_daemon.log_throttle import LogThrottle
from sources.exchanges.base import HEARTBEAT, SHUTDOWN, Exchange, Past, Rejected, Reply

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A longer message ends the connection. The longest known, a full order book, has 2 MB."""

MOST_PARTS = 1_000
"""A message in more parts ends the connection: parts may be empty."""

MOST_IDLE_FRAMES = 5_000
"""More frames without a trade in one read end the connection: reading them delays every other socket. The
most known, answers to subscriptions, are 500."""

MOST_UNSENT_BYTES = 256 * 1024
"""More answers to pings that the exchange does not read end the connection."""

MANY = 1_000
"""How many messages are decoded together: enough to be fast, few enough for the processor's cache."""

_TEXT = WSMsgType.TEXT

log = structlog.get_logger(__name__)


class FrameReader(WSListener):
    """Decodes frames as they arrive and puts the trades of each read into the queue together."""

    def __init__(
        self,
        context: DaemonContext,
        exchange: Exchange,
        markets: Collection[Market],
        bad_frames: LogThrottle,
        *,
        on_rejected: Callable[[Rejected], None],
        on_shutdown: Callable[[], None],
        on_first_frame: Callable[[], None],
    ) -> None:
        """Read the frames of one socket.

        Args:
            context: The daemon; trades go to its queue.
            exchange: Whose frames these are.
            markets: The markets to accept trades of.
            bad_frames: Shared by the sockets of one stream.
            on_rejected: Called when the exchange refuses a market.
            on_shutdown: Called when the exchange announces that it will close the socket.
            on_first_frame: Called once, when the first frame has arrived.
        """
        self.on_end: Callable[[], None] = _nothing
        """Called when the socket is closed and all it brought is in the queue."""
        self._exchange = exchange
        self._decode = exchange.decoder(markets)
        self._decode_many = exchange.many_decoder(markets)
        self._queue = context.queue
        self._metrics = context.metrics
        self._bad_frames = bad_frames
        self._on_rejected = on_rejected
        self._on_shutdown = on_shutdown
        self._on_first_frame = on_first_frame
        self._received = context.metrics.received.labels(exchange.name)
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._messages: list[bytes] = []
        """Messages that are not decoded yet."""
        self._trades: list[Trade] = []
        self._past: list[Trade] = []
        self._skipped: Counter[str] = Counter()
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._idle_frames = 0
        """Frames without a trade since the last flush."""
        self._ping: bytes | None = None
        self._reply: bytes | None = None
        """The last pings since the last flush, by frame and by message: only these are answered."""
        self.refusal: str | None = None
        """Why the socket was ended, after it sent what would delay the others; None while it is open."""
        self._flush_is_due = False
        self.frames = 0
        """Reads in which at least one frame ended, pings included."""
        self.has_traded = False
        self.last_frame_at = self._loop.time()
        """By the event loop's clock."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start reading."""
        self._transport = transport
        self._queue.attach(self)

    def read(self, markets: Collection[Market]) -> None:
        """Accept the trades of ``markets`` from now on, and of no others."""
        self._decode_messages()
        self._decode = self._exchange.decoder(markets)
        self._decode_many = self._exchange.many_decoder(markets)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Collect a message; all messages of a read are decoded together afterwards."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)
        if frame.msg_type is _TEXT and frame.fin:
            self._messages.append(frame.get_payload_as_bytes())
        elif (assembled := self._other_frame(transport, frame)) is not None:
            self._messages.append(assembled)
        if len(self._messages) >= MANY:
            self._decode_messages()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Hand over what was read last."""
        self._queue.detach(self)
        self.flush()
        self.on_end()

    def flush(self) -> None:
        """Decode what was read since the last flush, and put its trades into the queue."""
        self._flush_is_due = False
        try:
            self._decode_messages()
            self._answer()
        except Exception:  # a fault of ours in reading a frame: the other streams keep running
            log.exception("reading a frame failed", exchange=self._exchange.name)
            if self._transport is not None:
                self._transport.disconnect(graceful=False)
        self._idle_frames = 0
        self.frames += 1
        self.last_frame_at = self._loop.time()
        if self.frames == 1:
            self._on_first_frame()
        if self._trades:
            trades, self._trades = self._trades, []
            received_us = now_us()
            self.has_traded = True
            self._received.inc(len(trades))
            self._metrics.delays.record(self._exchange.name, received_us - trades[-1].ts_us)
            self._queue.put(trades, received_us)
        if self._past:
            past, self._past = self._past, []
            self._received.inc(len(past))
            self._queue.put_past(past, now_us())
        if self._skipped:
            for kind, count in self._skipped.items():
                self._metrics.skipped.labels(self._exchange.name, kind).inc(count)
            self._skipped.clear()

    def pause(self) -> None:
        """Stop reading until ``resume``; the sender waits."""
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self.last_frame_at = self._loop.time()
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def _answer(self) -> None:
        """Answer the last pings."""
        if self._transport is None or (self._ping is None and self._reply is None):
            return
        if self._ping is not None:
            self._transport.send_pong(self._ping)
        if self._reply is not None:
            self._transport.send(_TEXT, self._reply)
        self._ping = self._reply = None
        if self._transport.underlying_transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self._refuse("it sends pings and does not read the answers")

    def _refuse(self, reason: str) -> None:
        """End the socket. The rest of what was read is ignored."""
        self.refusal = reason
        self._parts.clear()
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _count_idle_frame(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MOST_IDLE_FRAMES and self.refusal is None:
            self._refuse(f"more than {MOST_IDLE_FRAMES:,} frames without a trade at once")

    def _decode_messages(self) -> None:
        messages, self._messages = self._messages, []
        if self.refusal is not None:
            return
        if len(messages) > 1 and self._decode_many is not None:
            trades = self._decode_many(messages)
            if trades is not None:
                self._trades += trades
                return
        for message in messages:
            self._decode_message(message)

    def _decode_message(self, message: bytes) -> None:
        try:
            decoded = self._decode(message)
        except BadMessage as error:
            self._bad_frame(error)
            self._count_idle_frame()
            return
        if isinstance(decoded, list):
            self._trades += decoded
            return
        self._count_idle_frame()
        if isinstance(decoded, Rejected):
            self._on_rejected(decoded)
        elif isinstance(decoded, Past):
            self._past += decoded.trades
        elif isinstance(decoded, Reply):
            self._skipped[HEARTBEAT.kind] += 1
            self._reply = decoded.frame
        else:
            self._skipped[decoded.kind] += 1
            if decoded is SHUTDOWN:
                self._on_shutdown()

    def _other_frame(self, transport: WSTransport, frame: WSFrame) -> bytes | None:
        """Return a whole message when ``frame`` completes it. Answers control frames."""
        if self.refusal is not None:
            return None
        self._count_idle_frame()
        match frame.msg_type:
            case WSMsgType.PING:
                self._ping = frame.get_payload_as_bytes()
            case WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            case WSMsgType.TEXT | WSMsgType.BINARY | WSMsgType.CONTINUATION:
                part = frame.get_payload_as_bytes()
                self._parts.append(part)
                self._parts_bytes += len(part)
                if self._parts_bytes > MAX_MESSAGE_BYTES or len(self._parts) > MOST_PARTS:
                    self._refuse("a message in parts is too long")
                elif frame.fin:
                    message = b"".join(self._parts)
                    self._parts.clear()
                    self._parts_bytes = 0
                    return message
        return None

    def _bad_frame(self, error: BadMessage) -> None:
        self._metrics.bad_frames.labels(self._exchange.name).inc()
        suppressed = self._bad_frames.suppressed()
        if suppressed is not None:
            log.warning(
                "a frame could not be read",
                exchange=self._exchange.name,
                reason=str(error),
                starts=error.raw,
                suppressed=suppressed,
            )


def _nothing() -> None:
    pass
