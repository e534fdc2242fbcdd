"""Adaptive group commit: each commit takes what was queued during the last one. There is no timer.

While Postgres is unavailable, batches go to the spool. When it is back the spool is replayed in order,
and only then do commits resume.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
import psycopg
import structlog

from coinwatch.errors import WarehouseUnavailable
from coinwatch.health.episodes import Episode
from coinwatch.health.outage import refuses_writes
from coinwatch.health.problems import Code, Problem
from coinwatch.records import Market
from coinwatch.times import now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.context import DaemonContext
from ingest_daemon.storage.queue import HIGH_MARK, Batch
from ingest_daemon.storage.spool import Spool, SpoolFull
from ingest_daemon.storage.spool_codec import decode, encode, markets_in
from sources.exchanges import EXCHANGES
from warehouse.db.errors import deadline, warehouse_errors
from warehouse.markets import MarketIds
from warehouse.trades.gaps import LedgerEntries
from warehouse.trades.rows import TickRows
from warehouse.trades.writer import TickWriter, Written

MAX_BATCH = 20_000
COMMIT_TIMEOUT_S = 5.0
"""A commit that takes longer has failed; its batch goes to the spool."""
RETRY_FOR_S = 1.0
"""How long a batch is held in memory and retried before it goes to the spool."""
RETRY_FIRST_S, RETRY_CAP_S = 0.1, 1.0
SPOOL_EVERY_S = 0.05
"""Between records of the spool: few large records are replayed faster than many small ones arrive."""
HOLES_EVERY_S = 0.25
AHEAD_EVERY_S = 0.002
"""How often the queue is checked for the next full batch while the current one is being stored."""

log = structlog.get_logger(__name__)


class _Work(msgspec.Struct, frozen=True):
    """A batch, its live trades as rows, and the stream gaps to record with them."""

    batch: Batch
    rows: TickRows
    entries: LedgerEntries


class Committer:
    """Moves trades from the queue to the warehouse, over one connection of its own.

    ``on_gaps_changed`` is called after each commit that changed stream gaps.
    """

    def __init__(self, context: DaemonContext, spool: Spool, *, on_gaps_changed: Callable[[], None]) -> None:
        self._context = context
        self._queue = context.queue
        self._continuity = context.continuity
        self._market_ids = context.market_ids
        self._spool = spool
        self._on_gaps_changed = on_gaps_changed
        self._connection: psycopg.AsyncConnection | None = None
        self._writer: TickWriter | None = None
        self._is_spooling = False
        self._spool_lock = asyncio.Lock()
        """Held while the spool grows, and while it is checked for being empty: no record slips in between."""
        self._refusal: SpoolFull | None = None
        """Why the spool did not take the last batch while Postgres did not either."""
        self._refusals = Episode()

    @property
    def is_spooling(self) -> bool:
        """Whether batches go to the spool rather than to Postgres."""
        return self._is_spooling

    @property
    def problem(self) -> Problem | None:
        """Why trades can be stored nowhere; None while they can."""
        if self._refusal is None:
            return None
        return Problem(
            Code.SPOOL_FULL, f"trades are only in memory ({len(self._queue)} of {HIGH_MARK}): {self._refusal}"
        )

    async def run(self) -> None:
        """Commit until the queue is closed and empty. Rides out every outage of Postgres.

        Raises:
            WarehouseRejected: Postgres refused a statement, which is no outage and ends the daemon.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                replaying = tasks.create_task(self._replay_after_outages())
                work = await self._next()
                while work is not None:
                    work = await self._store_and_prepare(work, tasks)
                replaying.cancel()
            if self._spool.records:
                log.warning(
                    "stopped while Postgres is away: the spool keeps what is not stored; "
                    "the next start stores it",
                    records=self._spool.records,
                    bytes=self._spool.bytes,
                )
        finally:
            await self._disconnect()

    async def _store_and_prepare(self, work: _Work, tasks: asyncio.TaskGroup) -> _Work | None:
        """Store ``work`` and return the next; under load it is prepared while Postgres is busy."""
        if len(work.rows) < MAX_BATCH:
            await self._store(work)
            return await self._next()
        storing = tasks.create_task(self._store(work))
        ahead: _Work | None = None
        while not storing.done():
            await asyncio.wait({storing}, timeout=AHEAD_EVERY_S)
            if ahead is None and len(self._queue) >= MAX_BATCH:
                ahead = await self._next()
        return ahead or await self._next()

    async def _next(self) -> _Work | None:
        batch = await self._queue.take(MAX_BATCH, HOLES_EVERY_S if self._continuity.has_holes else None)
        return None if batch is None else self._plan(batch)

    def _plan(self, batch: Batch) -> _Work:
        """Advance the continuity by ``batch``, which yields the stream gaps to record with it."""
        rows = TickRows.of(batch.trades, self._market_ids)
        now_s = time.monotonic()
        entries = self._continuity.plan(batch.interruptions, rows, now_s)
        if self._continuity.has_holes:
            entries.openings += self._continuity.overdue_holes(now_s)
        return _Work(batch, rows, entries)

    async def _store(self, work: _Work) -> None:
        """Commit or spool ``work``; return when either has it."""
        if not (work.batch.trades or work.batch.past or work.entries):
            return
        if not self._is_spooling and await self._commit(work):
            return
        payload = encode(work.batch, work.entries, self._market_ids)
        while not await self._is_spooled(payload):
            await asyncio.sleep(RETRY_CAP_S)
            if not self._is_spooling and await self._commit(work, perhaps_stored=True):
                return
        await asyncio.sleep(SPOOL_EVERY_S)

    async def _is_spooled(self, payload: bytes) -> bool:
        """Append ``payload`` to the spool; whether that was possible."""
        async with self._spool_lock:
            try:
                await asyncio.to_thread(self._spool.append, payload)
            except SpoolFull as full:
                self._refusal = full
                if self._refusals.failed(str(full)):
                    log.error(
                        "nothing can be stored: trades are kept in memory; when that is full, sockets wait",
                        reason=str(full),
                        most_in_memory=HIGH_MARK,
                    )
                return False
            self._is_spooling = True
        self._has_stored()
        return True

    def _has_stored(self) -> None:
        self._refusal = None
        if self._refusals and (recovery := self._refusals.worked()) is not None:
            log.info("trades can be stored again", after_s=recovery.lasted_s, held=len(self._queue))

    async def _commit(self, work: _Work, *, perhaps_stored: bool = False) -> bool:
        """Whether ``work`` was stored. Retrying after a lost answer stores nothing twice."""
        waits = backoff(first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        wait_s = next(waits)
        give_up_at = time.monotonic() + RETRY_FOR_S
        while True:
            if wait_s:
                await asyncio.sleep(wait_s)
            try:
                await self._write(work, late=False, perhaps_stored=perhaps_stored)
            except WarehouseUnavailable as error:
                perhaps_stored = True
                self._context.outage.began("commit", error)
                await self._disconnect()
                wait_s = waits.send(0.0)
                if refuses_writes(error) or time.monotonic() + wait_s > give_up_at:
                    return False
            else:
                return True

    async def _write(self, work: _Work, *, late: bool, perhaps_stored: bool = False) -> None:
        started = time.perf_counter()
        writer = await self._connected()
        batch = work.batch
        async with deadline(COMMIT_TIMEOUT_S):
            written = await writer.write_rows(
                work.rows, work.entries, late=late, perhaps_stored=perhaps_stored
            )
            past = await writer.write(batch.past, late=True) if batch.past else None
        self._context.metrics.commit_seconds.observe(time.perf_counter() - started)
        self._context.outage.ended("commit")
        self._has_stored()
        self._count(written, batch.received_us, late=late)
        if past is not None:
            self._count(past, batch.received_us, late=True)
        if work.entries:
            self._on_gaps_changed()

    async def _replay_after_outages(self) -> None:
        waits = backoff(first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(max(wait_s, RETRY_FIRST_S))
            if not self._is_spooling:
                continue
            try:
                await self._replay()
            except WarehouseUnavailable as error:
                self._context.outage.began("commit", error)
                await self._disconnect()
                wait_s = waits.send(0.0)
            else:
                wait_s = waits.send(float("inf"))

    async def _replay(self) -> None:
        """Store what the spool holds, oldest first; once it is empty commits resume."""
        started, records = time.monotonic(), 0
        while True:
            payload = await asyncio.to_thread(self._spool.first)
            if payload is None:
                async with self._spool_lock:
                    if self._spool.records:
                        continue
                    self._is_spooling = False
                log.info("the spool is stored", records=records, seconds=round(time.monotonic() - started, 1))
                return
            await self._write(_work(payload, self._market_ids), late=True)
            await asyncio.to_thread(self._spool.drop_first)
            records += 1

    async def _connected(self) -> TickWriter:
        if self._writer is None:
            self._connection = await self._context.connect()
            self._writer = TickWriter(self._connection, self._market_ids, daemon=self._context.daemon)
        return self._writer

    async def _disconnect(self) -> None:
        connection, self._connection, self._writer = self._connection, None, None
        if connection is not None:
            await connection.close()

    def _count(self, written: Written, received_us: int, *, late: bool) -> None:
        committed_us = now_us()
        status_board, metrics = self._context.status_board, self._context.metrics
        status_board.stored(written, received_us, committed_us, late=late)
        for move in written.moves:
            exchange = status_board.exchange[move.market_id]
            metrics.committed.labels(exchange).inc(move.count)
            if not late:
                metrics.lag_seconds.labels(exchange).observe((committed_us - move.last_ts_us) / 1e6)
        if written.duplicates:
            metrics.duplicates.inc(written.duplicates.total())
        if written.refused:
            metrics.refused.inc(written.refused.total())


async def replay(spool: Spool, context: DaemonContext) -> None:
    """Store what an earlier daemon left in ``spool``.

    Raises:
        WarehouseUnavailable: Postgres cannot be reached. What is not stored yet stays in the spool.
    """
    if not spool.records:
        return
    log.info("storing what an earlier daemon left in its spool", records=spool.records)
    with warehouse_errors():
        async with await context.connect() as connection:
            await _replay_all(spool, connection, context.daemon)


async def _replay_all(spool: Spool, connection: psycopg.AsyncConnection, daemon: str) -> None:
    market_ids = MarketIds()
    writer = TickWriter(connection, market_ids, daemon=daemon)
    while (payload := await asyncio.to_thread(spool.first)) is not None:
        await market_ids.resolve(
            connection,
            {market: EXCHANGES[market.exchange].rest_native(market) for market in markets_in(payload)},
        )
        work = _work(payload, market_ids)
        await writer.write_rows(work.rows, work.entries, late=True)
        await writer.write(work.batch.past, late=True)
        await asyncio.to_thread(spool.drop_first)


def _work(payload: bytes, market_ids: Mapping[Market, int]) -> _Work:
    batch, entries = decode(payload, market_ids)
    return _Work(batch, TickRows.of(batch.trades, market_ids), entries)
