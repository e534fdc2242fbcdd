"""The heartbeat of this endpoint, its marks, and the removal of rules that dead endpoints leave behind."""

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
from coinwatch.health.outage import Outage
from warehouse.alerts.rules import remove_rules_of_connection
from warehouse.alerts.snapshots import LEASE_S, end_dead_endpoints, mark
from warehouse.db.database import Database
from warehouse.ops.disks import Disks
from warehouse.ops.health import check_space

BEAT_S = 1.0
SWEEP_EVERY_BEATS = 10
CHECK_EVERY_BEATS = 5
"""How often it is checked that Postgres stores changes; every time while it does not."""
PART = "heartbeat"
"""Its name in outages."""

log = structlog.get_logger(__name__)


class Heartbeat:
    """Writes the heartbeat. The rules of unnamed clients end with their connection or with the endpoint."""

    def __init__(
        self,
        database: Database,
        progress: Progress,
        detail: Callable[[], Mapping[str, Any]],
        outage: Outage,
        disks: Disks,
    ) -> None:
        self._database = database
        self._progress = progress
        self._outage = outage
        self._disks = disks
        self._detail = detail
        self._started_at = datetime.now(UTC)
        self._ended: set[str] = set()
        token = secrets.token_hex(4)
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{token}"
        self.mark_channel = f"alert_mark_{token}"

    async def run(self) -> None:
        number = 0
        while True:
            checks = bool(self._outage) or number % CHECK_EVERY_BEATS == 0
            if checks:
                await self._disks.measure()
            try:
                async with self._database.use() as conn:
                    snapshot = self._progress.snapshot
                    self._progress.sent(
                        number,
                        await mark(
                            conn,
                            instance=self.instance,
                            started_at=self._started_at,
                            processed=snapshot,
                            detail=self._detail(),
                            channel=self.mark_channel,
                            number=number,
                        ),
                    )
                self._progress.is_stored |= snapshot is not None
                await self._clear(sweep=number % SWEEP_EVERY_BEATS == 1)
                if checks:
                    await self._check_space()
                self._outage.ended(PART)
            except WarehouseError as error:
                self._outage.began(PART, error)
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._progress.worth_storing.wait()
            self._progress.worth_storing.clear()

    async def connection_ended(self, key: str) -> None:
        """Remove the rules of an unnamed connection, now or as soon as Postgres is available."""
        self._ended.add(key)
        try:
            await self._clear(sweep=False)
        except WarehouseError as error:
            self._outage.observe(error)

    async def _check_space(self) -> None:
        async with self._database.use() as conn:
            await check_space(conn)
        self._outage.checked()

    async def _clear(self, *, sweep: bool) -> None:
        # The progress of dead endpoints is needed until this one has stored its own.
        sweep = sweep and self._progress.snapshot is not None
        if not self._ended and not sweep:
            return
        async with self._database.use() as conn:
            for key in list(self._ended):
                await remove_rules_of_connection(conn, key)
                self._ended.discard(key)
            if sweep and (removed := await end_dead_endpoints(conn, LEASE_S)):
                log.info("removed the watches of dead endpoints", rules=removed)
