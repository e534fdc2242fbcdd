"""From stored alert events to subscribers: every endpoint delivers those of its own clients, in order.

It already has the events that it stored itself, and reads those of other endpoints.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf

from app.alerts.connections.hub import Hub
from coinwatch.alerts import Alert
from coinwatch.errors import WarehouseError
from coinwatch.health.outage import Outage
from warehouse.alerts.rules import EVENTS_AT_ONCE, events_after, last_event_id
from warehouse.db.database import Database

POLL_S = 5.0
"""How often events are read without an announcement."""
RETRY_S = 0.5
PART = "delivery"
"""Its name in outages."""
BREATH_EVENTS = 200
"""After so many alerts other tasks run."""


class SocketFanout:
    """Delivers the events that this endpoint stores, and reads all others above the last one delivered: on an
    announcement, and every few seconds."""

    def __init__(self, database: Database, hub: Hub, outage: Outage) -> None:
        self._database = database
        self._hub = hub
        self._outage = outage
        self._wake_up = asyncio.Event()
        self._announced_through = 0.0
        """The highest number announced; infinite if announcements may have been missed."""
        self._stored: deque[Alert] = deque()
        """Stored by this endpoint and not delivered yet."""
        self._is_claiming = False
        self._read_at = -inf

    @property
    def age_s(self) -> float:
        """Seconds since events were last read; infinite before the first time."""
        return time.monotonic() - self._read_at

    def wake(self) -> None:
        """Read events: announcements may have been missed."""
        self.announce(inf)

    def announce(self, number: float) -> None:
        """State that events up to this number are stored."""
        self._announced_through = max(self._announced_through, number)
        if not self._is_claiming and self._is_behind():
            self._wake_up.set()

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Within, this endpoint is storing events: their announcements need not be read back."""
        self._is_claiming = True
        try:
            yield
        finally:
            self._is_claiming = False
            if self._is_behind():
                self._wake_up.set()

    def stored(self, alerts: Sequence[Alert]) -> None:
        """Deliver alerts that were just stored, in order with those of other endpoints."""
        self._stored.extend(alerts)
        self._deliver_stored()
        if self._stored:
            self._wake_up.set()

    async def start_now(self) -> None:
        """Start with the next event; earlier ones are sent on request. Raises WarehouseError."""
        async with self._database.use() as conn:
            self._hub.last_event_id = await last_event_id(conn)
        self._read_at = time.monotonic()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake_up.wait()
            self._wake_up.clear()
            try:
                await self._deliver()
                self._outage.ended(PART)
            except WarehouseError as error:
                self._outage.began(PART, error)
                await asyncio.sleep(RETRY_S)
                self._wake_up.set()

    async def _deliver(self) -> None:
        await self._deliver_all_stored()
        while self._stored or self._is_behind() or self.age_s >= POLL_S:
            announced = self._announced_through
            async with self._database.use() as conn:
                alerts = await events_after(conn, self._hub.last_event_id)
            for number, alert in enumerate(alerts, 1):
                self._hub.deliver(alert)
                if number % BREATH_EVENTS == 0:
                    await asyncio.sleep(0)
            if len(alerts) < EVENTS_AT_ONCE:
                self._read_at = time.monotonic()
                if self._announced_through == announced:
                    self._announced_through = self._hub.last_event_id
            await self._deliver_all_stored()

    async def _deliver_all_stored(self) -> None:
        while self._deliver_stored():  # noqa: ASYNC110  # other tasks run
            await asyncio.sleep(0)

    def _deliver_stored(self) -> int:
        """Deliver the stored events that are next in order, at most BREATH_EVENTS; returns how many."""
        count = 0
        while self._stored and count < BREATH_EVENTS:
            if self._stored[0].event_id > self._hub.last_event_id + 1:
                break
            self._hub.deliver(self._stored.popleft())
            count += 1
        return count

    def _is_behind(self) -> bool:
        return self._announced_through > self._hub.last_event_id
