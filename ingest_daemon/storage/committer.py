"""Adaptive group commit: each commit takes what queued while the last one ran. There is no timer.

While Postgres is away, batches go to the spool instead; when it is back they are replayed in order,
and only then do commits go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.records import Market
from coinwatch.times import now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.metrics import Metrics
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.storage.outage import Outage
from ingest_daemon.storage.queue import Batch, TradeQueue
from ingest_daemon.storage.spool import Spool, SpoolFull
from ingest_daemon.storage.spool_codec import decode, encode, markets_in
from ingest_daemon.streams.status_board import StreamStatusBoard
from sources.exchanges import EXCHANGES
from warehouse.db.connect import connect, unreachable
from warehouse.markets import MarketIds
from warehouse.trades.gaps import LedgerEntries
from warehouse.trades.rows import TickRows
from warehouse.trades.writer import TickWriter, Written

MAX_BATCH = 20_000
COMMIT_TIMEOUT_S = 5.0
"""A commit that takes longer has failed; its batch goes to the spool."""
TRY_FOR_S = 1.0
"""How long a batch is held in memory and tried again before the spool takes it."""
RETRY_FIRST_S, RETRY_CAP_S = 0.1, 1.0
SPOOL_EVERY_S = 0.05
"""Between records of the spool: few large ones are stored again faster than many small ones come."""
HOLES_EVERY_S = 0.25
AHEAD_EVERY_S = 0.002
"""How often, while a full batch is stored, the queue is looked at for the next one."""

log = structlog.get_logger(__name__)

_FAILURES = (psycopg.Error, WarehouseError, OSError, TimeoutError)


class _Work(msgspec.Struct, frozen=True):
    """A batch, its live trades as rows, and what the ledger must be told with them."""

    batch: Batch
    rows: TickRows
    entries: LedgerEntries


class Committer:
    """Moves trades from the queue to the warehouse, over one connection of its own.

    ``told`` is called after each commit that changed the ledger.
    """

    def __init__(
        self,
        url: sqlalchemy.URL,
        daemon: str,
        market_ids: Mapping[Market, int],
        queue: TradeQueue,
        spool: Spool,
        continuity: Continuity,
        board: StreamStatusBoard,
        metrics: Metrics,
        outage: Outage,
        told: Callable[[], None],
    ) -> None:
        self._url = url
        self._daemon = daemon
        self._market_ids = market_ids
        self._queue = queue
        self._spool = spool
        self._continuity = continuity
        self._board = board
        self._metrics = metrics
        self._outage = outage
        self._told = told
        self._connection: psycopg.AsyncConnection | None = None
        self._writer: TickWriter | None = None
        self._is_spooling = False
        self._turn = asyncio.Lock()
        """Held while the spool grows, and while it is found empty: nothing falls in between."""
        self._full = LogThrottle()

    @property
    def is_spooling(self) -> bool:
        """Whether batches go to the spool rather than to Postgres."""
        return self._is_spooling

    async def run(self) -> None:
        """Commit until the queue is closed and empty. Rides out every outage of Postgres."""
        try:
            async with asyncio.TaskGroup() as tasks:
                replaying = tasks.create_task(self._replay_when_away())
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
        """Store ``work``; the next one. Under load it is made ready while Postgres is busy."""
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
        """Advance the continuity by ``batch``: what the ledger must be told with it."""
        rows = TickRows.of(batch.trades, self._market_ids)
        now_s = time.monotonic()
        entries = self._continuity.plan(batch.interruptions, rows, now_s)
        if self._continuity.has_holes:
            entries.openings += self._continuity.due(now_s)
        return _Work(batch, rows, entries)

    async def _store(self, work: _Work) -> None:
        """Commit or spool ``work``; returns when one of them has it."""
        if not (work.batch.trades or work.batch.past or work.entries):
            return
        if not self._is_spooling and await self._commit(work):
            return
        payload = encode(work.batch, work.entries, self._market_ids)
        while True:
            async with self._turn:
                self._is_spooling = True
                try:
                    await asyncio.to_thread(self._spool.append, payload)
                except SpoolFull as full:
                    if (suppressed := self._full.suppressed()) is not None:
                        log.error(
                            "no trade is taken in: sockets wait", reason=str(full), suppressed=suppressed
                        )
                else:
                    break
            await asyncio.sleep(RETRY_CAP_S)
        await asyncio.sleep(SPOOL_EVERY_S)

    async def _commit(self, work: _Work) -> bool:
        """Whether ``work`` was stored. A try whose answer was lost does no harm."""
        waits = backoff(first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        wait_s = next(waits)
        give_up_at = time.monotonic() + TRY_FOR_S
        perhaps_stored = False
        while True:
            if wait_s:
                await asyncio.sleep(wait_s)
            try:
                await self._write(work, late=False, perhaps_stored=perhaps_stored)
            except _FAILURES as error:
                perhaps_stored = True
                self._outage.began("commit", error)
                await self._disconnect()
                wait_s = waits.send(0.0)
                if time.monotonic() + wait_s > give_up_at:
                    return False
            else:
                self._outage.ended("commit")
                return True

    async def _write(self, work: _Work, *, late: bool, perhaps_stored: bool = False) -> None:
        started = time.perf_counter()
        writer = await self._connected()
        batch = work.batch
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            written = await writer.write_rows(
                work.rows, work.entries, late=late, perhaps_stored=perhaps_stored
            )
            past = await writer.write(batch.past, late=True) if batch.past else None
        self._metrics.commit_seconds.observe(time.perf_counter() - started)
        self._count(written, batch.received_us, late=late)
        if past is not None:
            self._count(past, batch.received_us, late=True)
        if work.entries:
            self._told()

    async def _replay_when_away(self) -> None:
        waits = backoff(first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        wait_s = next(waits)
        while True:
            await asyncio.sleep(max(wait_s, RETRY_FIRST_S))
            if not self._is_spooling:
                continue
            try:
                await self._replay()
            except _FAILURES as error:
                self._outage.began("commit", error)
                await self._disconnect()
                wait_s = waits.send(0.0)
            else:
                wait_s = waits.send(float("inf"))

    async def _replay(self) -> None:
        """Store what the spool holds, the oldest first; when it is empty commits go on."""
        await self._connected()
        self._outage.ended("commit")
        started, records = time.monotonic(), 0
        while True:
            payload = await asyncio.to_thread(self._spool.first)
            if payload is None:
                async with self._turn:
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
            self._connection = await connect(self._url, application_name="coinwatch ingest")
            self._writer = TickWriter(self._connection, self._market_ids, daemon=self._daemon)
        return self._writer

    async def _disconnect(self) -> None:
        connection, self._connection, self._writer = self._connection, None, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    def _count(self, written: Written, received_us: int, *, late: bool) -> None:
        committed_us = now_us()
        self._board.stored(written, received_us, committed_us, late=late)
        for move in written.moves:
            exchange = self._board.exchange[move.market_id]
            self._metrics.committed.labels(exchange).inc(move.count)
            if not late:
                self._metrics.lag_seconds.labels(exchange).observe((committed_us - move.last_ts_us) / 1e6)
        if written.duplicates:
            self._metrics.duplicates.inc(written.duplicates.total())
        if written.refused:
            self._metrics.refused.inc(written.refused.total())


async def replay(spool: Spool, url: sqlalchemy.URL, daemon: str) -> None:
    """Store what an earlier daemon left in ``spool``. Raises WarehouseError when Postgres is away."""
    if not spool.records:
        return
    log.info("storing what an earlier daemon left in its spool", records=spool.records)
    try:
        async with await connect(url, application_name="coinwatch ingest") as connection:
            await _replay_all(spool, connection, daemon)
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error


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
