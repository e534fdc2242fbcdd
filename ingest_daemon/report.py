"""Every second: the state of each market and a heartbeat, written to the warehouse."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, date, datetime

import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.times import now_us, utc_day
from ingest_daemon.metrics import Metrics
from ingest_daemon.storage.outage import Outage
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.storage.spool import Spool
from ingest_daemon.streams.status_board import StreamStatusBoard
from warehouse.db.connect import connect
from warehouse.db.notify_queue import end_stuck_listeners
from warehouse.ops.health import beat, write_streams
from warehouse.trades.writer import ensure_days_ahead

SERVICE = "ingest"
EVERY_S = 1.0
DELAYS_OVER_S = 60.0
NOTICE_QUEUE_EVERY_S = 10.0
TIMEOUT_S = 10.0
"""An answer that takes longer counts as none."""


log = structlog.get_logger(__name__)


class Reporter:
    def __init__(
        self,
        url: sqlalchemy.URL,
        daemon: str,
        mode: str,
        wants: str,
        queue: TradeQueue,
        spool: Spool,
        board: StreamStatusBoard,
        metrics: Metrics,
        outage: Outage,
    ) -> None:
        self._url = url
        self._daemon = daemon
        self._mode = mode
        self._wants = wants
        self._queue = queue
        self._spool = spool
        self._board = board
        self._metrics = metrics
        self._outage = outage
        self._started_at = datetime.now(UTC)
        self._days_made_on: date | None = None
        self._turned_s = time.monotonic()
        self._look_at_queue_s = 0.0
        self._connection: psycopg.AsyncConnection | None = None

    async def run(self) -> None:
        """Report until cancelled. An outage of Postgres is waited out."""
        while True:
            await self.report()
            await asyncio.sleep(EVERY_S)

    async def report(self) -> None:
        """Report once."""
        self._metrics.queue_depth.set(len(self._queue))
        self._metrics.spool_bytes.set(self._spool.bytes)
        if time.monotonic() - self._turned_s > DELAYS_OVER_S:
            self._turned_s = time.monotonic()
            self._metrics.delays.turn()
        for exchange, least_s in self._metrics.delays.least_s().items():
            self._metrics.clock_offset_seconds.labels(exchange).set(least_s)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._write()
        except (psycopg.Error, WarehouseError, OSError, TimeoutError) as error:
            self._outage.began("report", error)
            await self.close()
        else:
            self._outage.ended("report")

    async def stopped(self) -> None:
        """Say that the daemon ends on purpose, if Postgres is there to hear it."""
        self._board.stopped()
        await self.report()

    async def close(self) -> None:
        """End the connection. A later report makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    async def _write(self) -> None:
        if self._connection is None:
            self._connection = await connect(self._url, application_name="coinwatch ingest health")
            # What is written anew each second need not survive a crash of Postgres; and its flush to the
            # disk would hold up a commit of trades.
            await self._connection.execute("set synchronous_commit = off")
        if self._days_made_on != (today := utc_day(now_us())):
            await ensure_days_ahead(self._connection)
            self._days_made_on = today
        if time.monotonic() >= self._look_at_queue_s:
            self._look_at_queue_s = time.monotonic() + NOTICE_QUEUE_EVERY_S
            if ended := await end_stuck_listeners(self._connection):
                log.error("ended sessions that kept Postgres from emptying its queue of notices", ended=ended)
        await write_streams(self._connection, self._board.health, self._daemon)
        detail = {
            "queue": len(self._queue),
            "spool_bytes": self._spool.bytes,
            "markets": self._board.states(),
            "mode": self._mode,
            "wants": self._wants,
        }
        await beat(self._connection, SERVICE, self._daemon, self._started_at, detail)
