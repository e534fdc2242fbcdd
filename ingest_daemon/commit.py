"""Adaptive group commit: each commit takes what queued while the last one ran. There is no timer."""

from __future__ import annotations

import asyncio
import time

import psycopg
import sqlalchemy

from coinwatch.errors import WarehouseError
from coinwatch.records import Market
from coinwatch.times import now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.board import Board
from ingest_daemon.metrics import Metrics
from ingest_daemon.outage import Outage
from ingest_daemon.queue import Batch, TradeQueue
from warehouse.connect import connect
from warehouse.ticks import TickWriter, Written

MAX_BATCH = 20_000
COMMIT_TIMEOUT_S = 30.0
RETRY_FIRST_S, RETRY_CAP_S = 0.1, 5.0


class Committer:
    """Moves trades from the queue to the warehouse, over one connection of its own."""

    def __init__(
        self,
        url: sqlalchemy.URL,
        market_ids: dict[Market, int],
        queue: TradeQueue,
        board: Board,
        metrics: Metrics,
        outage: Outage,
    ) -> None:
        self._url = url
        self._market_ids = market_ids
        self._queue = queue
        self._board = board
        self._metrics = metrics
        self._outage = outage
        self._connection: psycopg.AsyncConnection | None = None
        self._writer: TickWriter | None = None

    async def run(self) -> None:
        """Commit until the queue is closed and empty. Rides out every outage of Postgres."""
        try:
            while (batch := await self._queue.take(MAX_BATCH)) is not None:
                started = time.perf_counter()
                written = await self._commit(batch)
                self._metrics.commit_seconds.observe(time.perf_counter() - started)
                self._count(written, batch.received_us)
        finally:
            await self._disconnect()

    async def _commit(self, batch: Batch) -> Written:
        """Store ``batch``, trying until it is stored. A try whose answer was lost does no harm."""
        waits = backoff(first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        wait_s = next(waits)
        perhaps_stored = False
        while True:
            await asyncio.sleep(wait_s)
            try:
                writer = await self._connected()
                tried, perhaps_stored = perhaps_stored, True
                async with asyncio.timeout(COMMIT_TIMEOUT_S):
                    written = await writer.write(batch.trades, perhaps_stored=tried)
            except (psycopg.Error, WarehouseError, OSError, TimeoutError) as error:
                self._outage.began("commit", error)
                await self._disconnect()
                wait_s = waits.send(0.0)
            else:
                self._outage.ended("commit")
                return written

    async def _connected(self) -> TickWriter:
        if self._writer is None:
            self._connection = await connect(self._url, application_name="coinwatch ingest")
            self._writer = TickWriter(self._connection, self._market_ids)
        return self._writer

    async def _disconnect(self) -> None:
        connection, self._connection, self._writer = self._connection, None, None
        if connection is not None:
            await connection.close()

    def _count(self, written: Written, received_us: int) -> None:
        committed_us = now_us()
        self._board.stored(written, received_us, committed_us)
        for move in written.moves:
            exchange = self._board.exchange[move.market_id]
            self._metrics.committed.labels(exchange).inc(move.count)
            self._metrics.lag_seconds.labels(exchange).observe((committed_us - move.last_ts_us) / 1e6)
        if written.duplicates:
            self._metrics.duplicates.inc(written.duplicates.total())
        if written.refused:
            self._metrics.refused.inc(written.refused.total())
