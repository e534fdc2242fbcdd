"""The connected subscribers, and the queue of frames of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from app.alerts import replies
from app.alerts.metrics import Metrics
from coinwatch.alerts import Alert

MAX_WAITING = 2_000
"""How many frames may be queued for a subscriber."""
AHEAD_BYTES = 32 * 1024
"""How much may be in the write buffer of a socket before frames are queued."""
MAX_WAITING_LETTERS = 1024 * 1024
"""With more queued, no commands are read: the reply to a command may be long."""

SEND_TIMEOUT_S = 20.0
"""How long one frame may wait for its client to read."""

log = structlog.get_logger(__name__)


class Subscriber:
    """A connection: its owner, its watches, and a bounded queue of frames that it has not read yet."""

    def __init__(
        self,
        socket: ServerConnection,
        key: str,
        client: str | None,
        metrics: Metrics,
        owner: str | None = None,
    ) -> None:
        self.key = key
        """Unique among all connections of all endpoints."""
        self.client = client
        self.owner = owner
        """The owner of its token; None without tokens."""
        self.watches: set[int] = set()
        """The armed rules of its client that this connection knows of."""
        self._repeating: set[int] = set()
        self.live = False
        """Whether new alerts are sent at once; not while missed ones are replayed."""
        self.sent_through = 0
        """Events up to this number are not sent (again)."""
        self._socket = socket
        self._metrics = metrics
        self._waiting: deque[str] = deque()
        self._waiting_letters = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._held: list[Alert] | None = None
        self._too_slow = asyncio.Event()
        self.has_ended = False
        """Whether nothing is sent any more: it was too slow, or has closed."""

    def watch(self, rule_id: int, *, is_once: bool) -> None:
        """Count a rule among its watches; a rule that fires once only until then."""
        self.watches.add(rule_id)
        if not is_once:
            self._repeating.add(rule_id)

    async def send(self, frame: str) -> None:
        """Queue a reply, waiting while the queue is full: the client sets the pace of replies.

        Frames for a connection that has ended are dropped.
        """
        await self._room.wait()
        if not self.has_ended:
            self._queue(frame)

    def push(self, alert: Alert) -> None:
        """Queue an alert at once. A subscriber whose queue is full is cut off."""
        if alert.event_id <= self.sent_through or self._too_slow.is_set() or self.has_ended:
            return
        if len(self._waiting) + len(self._held or ()) >= MAX_WAITING:
            self._too_slow.set()
            self._waiting.clear()
            return
        if self._held is not None:
            self._held.append(alert)
            return
        self._queue(replies.alert(alert))
        self.sent_through = alert.event_id
        if alert.rule_id not in self._repeating:
            self.watches.discard(alert.rule_id)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within, alerts are held back; they are queued at the end, behind what was sent within."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for alert in held:
                self.push(alert)

    async def run(self) -> None:
        """Send what is queued until the connection ends or is cut off."""
        sending = asyncio.create_task(self._send_queued())
        cutting = asyncio.create_task(self._cut_off())
        try:
            await asyncio.wait({sending, cutting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, cutting):
                task.cancel()
            await asyncio.gather(sending, cutting, return_exceptions=True)
            self.has_ended = True
            self._waiting.clear()
            self._room.set()

    async def _send_queued(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._waiting:
                    frame = self._waiting.popleft()
                    try:
                        async with asyncio.timeout(SEND_TIMEOUT_S):
                            await self._socket.send(frame)
                    except TimeoutError:
                        await self._end_slow(f"a frame waited for {SEND_TIMEOUT_S:g} s")
                        return
                    self._waiting_letters -= len(frame)
                    if (
                        len(self._waiting) < MAX_WAITING // 2
                        and self._waiting_letters < MAX_WAITING_LETTERS // 2
                    ):
                        self._room.set()

    async def _cut_off(self) -> None:
        await self._too_slow.wait()
        await self._end_slow(f"{MAX_WAITING} frames waited")

    async def _end_slow(self, why: str) -> None:
        self.has_ended = True
        self._metrics.slow.inc()
        log.warning("subscriber cut off: too slow", connection=self.key, client=self.client, reason=why)
        await self._socket.close(CloseCode.TRY_AGAIN_LATER, f"too slow: {why}")

    def _queue(self, frame: str) -> None:
        if not self._waiting and self._socket.transport.get_write_buffer_size() < AHEAD_BYTES:
            broadcast([self._socket], frame)  # at once, without the sending task
            return
        self._waiting.append(frame)
        self._waiting_letters += len(frame)
        if len(self._waiting) >= MAX_WAITING or self._waiting_letters >= MAX_WAITING_LETTERS:
            self._room.clear()
        self._changed.set()


class Hub:
    """The subscribers of this endpoint, by client and connection. Alerts are delivered in order."""

    def __init__(self, metrics: Metrics) -> None:
        self.last_event_id = 0
        """Every event up to this one has been delivered."""
        self._metrics = metrics
        self._by_client: dict[str, set[Subscriber]] = {}
        self._by_key: dict[str, Subscriber] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, subscriber: Subscriber) -> None:
        self._by_key[subscriber.key] = subscriber
        if subscriber.client is not None:
            self._by_client.setdefault(subscriber.client, set()).add(subscriber)

    def discard(self, subscriber: Subscriber) -> None:
        self._by_key.pop(subscriber.key, None)
        if subscriber.client is not None and (same := self._by_client.get(subscriber.client)):
            same.discard(subscriber)
            if not same:
                del self._by_client[subscriber.client]

    def deliver(self, alert: Alert) -> None:
        """Deliver an alert to all connections of its owner, unless it was delivered before."""
        if alert.event_id <= self.last_event_id:
            return
        for subscriber in self._owners(alert):
            if subscriber.live:
                subscriber.push(alert)
                self._metrics.delivered.inc()
        self.last_event_id = alert.event_id

    def _owners(self, alert: Alert) -> Iterator[Subscriber]:
        if alert.client is not None:
            yield from self._by_client.get(alert.client, ())
        elif alert.connection is not None and (subscriber := self._by_key.get(alert.connection)):
            yield subscriber
