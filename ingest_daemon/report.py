"""Writes the state of each market and a heartbeat to the warehouse, every second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

import psycopg
import structlog

from coinwatch.errors import WarehouseUnavailable
from coinwatch.times import now_us, utc_day
from ingest_daemon.context import DaemonContext
from ingest_daemon.http import Health
from warehouse.db.errors import deadline
from warehouse.db.notify_queue import end_stuck_listeners
from warehouse.ops.health import beat, check_space, write_streams
from warehouse.trades.writer import ensure_days_ahead

SERVICE = "ingest"
EVERY_S = 1.0
DELAYS_OVER_S = 60.0
NOTIFY_QUEUE_EVERY_S = 10.0
SPACE_EVERY_S = 5.0
"""Between checks of free space, ours and that of Postgres."""
TIMEOUT_S = 10.0
"""A report that takes longer has failed."""


log = structlog.get_logger(__name__)


class Reporter:
    """Reports over one connection of its own, and checks that Postgres and the disks have space."""

    def __init__(
        self, context: DaemonContext, health: Callable[[], Health], *, markets_fingerprint: str
    ) -> None:
        self._context = context
        self._health = health
        self._markets_fingerprint = markets_fingerprint
        self._started_at = datetime.now(UTC)
        self._days_made_on: date | None = None
        self._minute_began_s = time.monotonic()
        self._check_notify_queue_s = 0.0
        self._check_space_s = 0.0
        self._measure_disks_s = 0.0
        self._connection: psycopg.AsyncConnection | None = None

    async def run(self) -> None:
        """Report until cancelled. An outage of Postgres is waited out."""
        while True:
            await self.report()
            await asyncio.sleep(EVERY_S)

    async def report(self) -> None:
        """Report once."""
        metrics = self._context.metrics
        if time.monotonic() >= self._measure_disks_s:
            self._measure_disks_s = time.monotonic() + SPACE_EVERY_S
            await self._context.disk_watch.measure()
        if time.monotonic() - self._minute_began_s > DELAYS_OVER_S:
            self._minute_began_s = time.monotonic()
            metrics.delays.start_minute()
        for exchange, least_s in metrics.delays.least_s().items():
            metrics.clock_offset_seconds.labels(exchange).set(least_s)
        try:
            async with deadline(TIMEOUT_S):
                await self._write()
        except WarehouseUnavailable as error:
            self._context.outage.began("report", error)
            self._check_space_s = 0.0  # only a check that passes ends this
            await self.close()
        else:
            self._context.outage.ended("report")

    async def stopped(self) -> None:
        """Report that the daemon stops on purpose, if Postgres is available."""
        self._context.status_board.stopped()
        await self.report()

    async def close(self) -> None:
        """Close the connection. The next report opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _write(self) -> None:
        context = self._context
        if self._connection is None:
            self._connection = await context.connect("health")
            # These rows are written again every second and need not survive a crash of Postgres. Flushing
            # them to disk would delay commits of trades.
            await self._connection.execute("set synchronous_commit = off")
        if self._days_made_on != (today := utc_day(now_us())):
            await ensure_days_ahead(self._connection)
            self._days_made_on = today
        if time.monotonic() >= self._check_notify_queue_s:
            self._check_notify_queue_s = time.monotonic() + NOTIFY_QUEUE_EVERY_S
            if ended := await end_stuck_listeners(self._connection):
                log.error("ended sessions that kept Postgres from emptying its queue of notices", ended=ended)
        await write_streams(self._connection, context.status_board.health, context.daemon)
        health = self._health()
        detail = {
            **health.detail,
            "problems": health.problems,
            "mode": context.settings.ingest_mode,
            "wants": self._markets_fingerprint,
        }
        await beat(self._connection, SERVICE, context.daemon, self._started_at, detail)
        if time.monotonic() >= self._check_space_s:
            # After the heartbeat, which often fits into a full disk and then reports it.
            await check_space(self._connection)
            self._check_space_s = time.monotonic() + SPACE_EVERY_S
