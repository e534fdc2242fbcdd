"""The ingest daemon: sockets → queue → group commit. How its parts are joined, started and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import sqlalchemy
import structlog

from coinwatch.errors import CoinwatchError, WarehouseError
from coinwatch.settings import Settings
from coinwatch.times import now_us
from ingest_daemon.averages.task import Averager
from ingest_daemon.http import Health, serve
from ingest_daemon.metrics import Metrics
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.recovery.filler import Recoverer
from ingest_daemon.report import Reporter
from ingest_daemon.storage.committer import Committer, replay
from ingest_daemon.storage.minute_candles import Minutes
from ingest_daemon.storage.outage import Outage
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.storage.spool import Spool, claim
from ingest_daemon.streams.assignments import Assignments, instance
from ingest_daemon.streams.polling import Poller
from ingest_daemon.streams.status_board import StreamStatusBoard
from ingest_daemon.streams.stream_set import Streams
from warehouse.markets import MarketIds

DRAIN_TIMEOUT_S = 8.0
"""How long a stopping daemon tries to store what it holds; the supervisor kills after 10 s."""
SLEPT_S = 5.0
"""A clock that ran on for so long while this process did not: the machine slept."""
SLEPT = "the machine slept"
"""The cause of an interruption, in the ledger."""

log = structlog.get_logger(__name__)


async def run(settings: Settings, url: sqlalchemy.URL, *, stop: asyncio.Event) -> None:
    """Stream what is wanted into the warehouse until ``stop`` is set; then store what is held.

    Raises SettingsError when the port is taken, WarehouseError when Postgres cannot be reached at
    the start, or is away at the end and the spool is full. Outages in between are ridden out.
    """
    with claim(settings.data_dir, settings.spool_max_mb * 1_000_000) as claimed:
        for spool in (*claimed.orphans, claimed.own):
            await replay(spool, url, instance())
        try:
            await _run(settings, url, claimed.own, stop)
        except BaseExceptionGroup as group:
            if (ours := group.subgroup(CoinwatchError)) is not None:
                raise _first(ours) from None
            raise


async def _run(settings: Settings, url: sqlalchemy.URL, spool: Spool, stop: asyncio.Event) -> None:
    daemon = instance()
    market_ids = MarketIds()
    queue, board, metrics = TradeQueue(), StreamStatusBoard(), Metrics()
    continuity, outage = Continuity(), Outage(url)

    def health() -> Health:
        detail = {"queue": len(queue), "spool_bytes": spool.bytes, "markets": board.states()}
        return Health(not outage, detail)

    async with (
        serve(settings.host, settings.ingest_port, health, metrics.text),
        asyncio.TaskGroup() as tasks,
    ):
        streams = Streams(settings, queue, board, metrics, continuity, tasks)
        recoverer = Recoverer(settings, url, daemon, market_ids, streams, continuity, board, metrics, outage)
        committer = Committer(
            url, daemon, market_ids, queue, spool, continuity, board, metrics, outage, recoverer.wake
        )
        assignments = Assignments(settings, url, daemon, market_ids, streams, continuity, board, outage)
        reporter = Reporter(
            url, daemon, settings.ingest_mode, assignments.fingerprint, queue, spool, board, metrics, outage
        )
        averager = Averager(url, settings, daemon)
        poller = Poller(settings, url, daemon, market_ids, board, lambda trades: queue.put(trades, now_us()))
        try:
            committing = tasks.create_task(committer.run(), name="commit")
            reporting = tasks.create_task(reporter.run(), name="report")
            deciding = [
                tasks.create_task(assignments.run(), name="assignments"),
                tasks.create_task(recoverer.run(), name="recovery"),
                tasks.create_task(averager.run(), name="averages"),
                tasks.create_task(Minutes(url, market_ids).run(), name="minutes"),
                tasks.create_task(poller.run(), name="polling"),
                tasks.create_task(_watch_for_sleep(streams), name="sleep"),
            ]
            log.info("started", markets=len(settings.markets), mode=settings.ingest_mode)
            await stop.wait()
            log.info("stopping", held=len(queue))
            await _cancel(deciding)
            await streams.stop()
            queue.close()
            await _drain(committing, queue)
            await assignments.stop()
            await _cancel([reporting])
            await reporter.stopped()
            log.info("stopped")
        finally:
            await reporter.close()
            await assignments.close()


async def _watch_for_sleep(streams: Streams) -> None:
    """A machine that slept has dead sockets: leave them at once rather than wait for their silence."""
    while True:
        wall_s, own_s = time.time(), time.monotonic()
        await asyncio.sleep(1)
        slept_s = (time.time() - wall_s) - (time.monotonic() - own_s)
        if slept_s > SLEPT_S:
            log.warning("the machine slept, or its clock was set", seconds=round(slept_s))
            streams.reconnect(SLEPT)


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _drain(committing: asyncio.Task[None], queue: TradeQueue) -> None:
    await asyncio.wait({committing}, timeout=DRAIN_TIMEOUT_S)
    if not committing.done():
        raise WarehouseError(
            f"stopped while Postgres is away and the spool is full: {len(queue)} queued trades and the "
            "batch in hand were not stored; the next start recovers what the exchanges still show"
        )


def _first(group: BaseExceptionGroup[CoinwatchError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
