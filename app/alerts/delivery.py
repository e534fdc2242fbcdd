"""From stored events to subscribers: every endpoint reads them all, in order, and passes on its own."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from math import inf

import structlog

from app.alerts.database import Database
from app.alerts.hub import Hub
from coinwatch.errors import WarehouseError
from warehouse.alerts import EVENTS_AT_ONCE, events_after, last_event_id

POLL_S = 5.0
"""How often events are read when none is announced."""
RETRY_S = 0.5
BREATH_EVENTS = 200
"""After so many alerts the sockets get their turn."""

log = structlog.get_logger(__name__)


class Delivery:
    """Reads the events above the last one passed on: when told of some, and every few seconds."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._told = asyncio.Event()
        self._read_at = -inf

    @property
    def age_s(self) -> float:
        """Seconds since events were last read; infinite before the first time."""
        return time.monotonic() - self._read_at

    def tell(self) -> None:
        """There may be new events."""
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
        while True:
            async with self._database.use() as conn:
                alerts = await events_after(conn, self._hub.last_event_id)
            self._read_at = time.monotonic()
            for number, alert in enumerate(alerts, 1):
                self._hub.deliver(alert)
                if number % BREATH_EVENTS == 0:
                    await asyncio.sleep(0)
            if len(alerts) < EVENTS_AT_ONCE:
                return
