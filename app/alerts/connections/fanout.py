"""From stored events to subscribers: every endpoint goes through them all, in order, and passes on its own.

Those it has stored itself it knows; those of other endpoints it reads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf

import structlog

from app.alerts.connections.hub import Hub
from coinwatch.alerts import Alert
from coinwatch.errors import WarehouseError
from warehouse.alerts.rules import EVENTS_AT_ONCE, events_after, last_event_id
from warehouse.db.database import Database

POLL_S = 5.0
"""How often events are read when none is announced."""
RETRY_S = 0.5
BREATH_EVENTS = 200
"""After so many alerts the sockets get their turn."""

log = structlog.get_logger(__name__)


class SocketFanout:
    """Passes on what this endpoint stores itself, and reads whatever else is above the last number passed
    on: when told of some, and every few seconds."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._told = asyncio.Event()
        self._told_of = 0.0
        """The greatest number announced; infinite where some may have been missed."""
        self._stored: deque[Alert] = deque()
        """By this endpoint, and not passed on yet."""
        self._is_claiming = False
        self._read_at = -inf

    @property
    def age_s(self) -> float:
        """Seconds since events were last read; infinite before the first time."""
        return time.monotonic() - self._read_at

    def tell(self) -> None:
        """There may be new events."""
        self.told_of(inf)

    def told_of(self, number: float) -> None:
        """Events up to this one are stored."""
        self._told_of = max(self._told_of, number)
        if not self._is_claiming and self._is_behind():
            self._told.set()

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """What is announced meanwhile may be what is stored within, and is then not read back."""
        self._is_claiming = True
        try:
            yield
        finally:
            self._is_claiming = False
            if self._is_behind():
                self._told.set()

    def stored(self, alerts: Sequence[Alert]) -> None:
        """Pass on what was stored just now, in its order among those of other endpoints."""
        self._stored.extend(alerts)
        self._pass_on_stored()
        if self._stored:
            self._told.set()

    async def start_now(self) -> None:
        """Begin with the next event: those before are for who asks for them. Raises WarehouseError."""
        async with self._database.use() as conn:
            self._hub.last_event_id = await last_event_id(conn)
        self._read_at = time.monotonic()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._told.wait()
            self._told.clear()
            try:
                await self._pass_on()
            except WarehouseError as error:
                log.warning("deliveries wait for Postgres", reason=str(error))
                await asyncio.sleep(RETRY_S)
                self._told.set()

    async def _pass_on(self) -> None:
        await self._pass_on_all_stored()
        while self._stored or self._is_behind() or self.age_s >= POLL_S:
            told_of = self._told_of
            async with self._database.use() as conn:
                alerts = await events_after(conn, self._hub.last_event_id)
            for number, alert in enumerate(alerts, 1):
                self._hub.deliver(alert)
                if number % BREATH_EVENTS == 0:
                    await asyncio.sleep(0)
            if len(alerts) < EVENTS_AT_ONCE:
                self._read_at = time.monotonic()
                if self._told_of == told_of:
                    self._told_of = self._hub.last_event_id
            await self._pass_on_all_stored()

    async def _pass_on_all_stored(self) -> None:
        while self._pass_on_stored():  # noqa: ASYNC110  # the sockets get their turn
            await asyncio.sleep(0)

    def _pass_on_stored(self) -> int:
        """Those that come next by their numbers; returns how many, at most BREATH_EVENTS."""
        count = 0
        while self._stored and count < BREATH_EVENTS:
            if self._stored[0].event_id > self._hub.last_event_id + 1:
                break
            self._hub.deliver(self._stored.popleft())
            count += 1
        return count

    def _is_behind(self) -> bool:
        return self._told_of > self._hub.last_event_id
