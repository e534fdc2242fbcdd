"""The life of this endpoint in the warehouse: its heartbeat, its marks, and what the dead leave behind."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from app.alerts.evaluation.progress import Progress
from coinwatch.errors import WarehouseError
from warehouse.alerts.rules import remove_rules_of_connection
from warehouse.alerts.snapshots import LEASE_S, end_dead_endpoints, mark
from warehouse.db.database import Database

BEAT_S = 1.0
SWEEP_EVERY_BEATS = 10

log = structlog.get_logger(__name__)


class Heartbeat:
    """Beats while the endpoint lives. The rules of unnamed clients end with their connection or with this."""

    def __init__(self, database: Database, marks: Progress, detail: Callable[[], Mapping[str, Any]]) -> None:
        self._database = database
        self._marks = marks
        self._detail = detail
        self._started_at = datetime.now(UTC)
        self._ended: set[str] = set()
        token = secrets.token_hex(4)
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{token}"
        self.mark_channel = f"alert_mark_{token}"

    async def run(self) -> None:
        number = 0
        while True:
            try:
                async with self._database.use() as conn:
                    looked = self._marks.looked
                    self._marks.sent(
                        number,
                        await mark(
                            conn,
                            instance=self.instance,
                            started_at=self._started_at,
                            processed=looked,
                            detail=self._detail(),
                            channel=self.mark_channel,
                            number=number,
                        ),
                    )
                self._marks.is_stored |= looked is not None
                await self._clear(sweep=number % SWEEP_EVERY_BEATS == 1)
            except WarehouseError as error:
                log.warning("no heartbeat: Postgres is away", reason=str(error))
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._marks.worth_storing.wait()
            self._marks.worth_storing.clear()

    async def connection_ended(self, key: str) -> None:
        """Remove the rules of an unnamed connection, now or as soon as Postgres is back."""
        self._ended.add(key)
        try:
            await self._clear(sweep=False)
        except WarehouseError as error:
            log.warning("rules of a closed connection are removed later", reason=str(error))

    async def _clear(self, *, sweep: bool) -> None:
        # What the dead have looked at must not be forgotten before we have looked further.
        sweep = sweep and self._marks.looked is not None
        if not self._ended and not sweep:
            return
        async with self._database.use() as conn:
            for key in list(self._ended):
                await remove_rules_of_connection(conn, key)
                self._ended.discard(key)
            if sweep and (removed := await end_dead_endpoints(conn, LEASE_S)):
                log.info("removed the watches of endpoints that are gone", rules=removed)
