"""The ingest daemon, sockets → queue → group commit: how its parts are wired, started and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import AsyncExitStack

import sqlalchemy
import structlog

from coinwatch.errors import CoinwatchError, WarehouseUnavailable
from coinwatch.health.outage import first_error
from coinwatch.settings import Settings
from coinwatch.stream_gaps import GapCause
from ingest_daemon.averages.task import Averager
from ingest_daemon.context import DaemonContext
from ingest_daemon.health import HealthReport
from ingest_daemon.http import serve
from ingest_daemon.recovery.filler import Recoverer
from ingest_daemon.report import Reporter
from ingest_daemon.storage.committer import Committer, replay
from ingest_daemon.storage.minute_candles import MinuteCandles
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.storage.spool import Spool
from ingest_daemon.storage.spool_claim import claim
from ingest_daemon.streams.assignments import Assignments
from ingest_daemon.streams.polling import Poller
from ingest_daemon.streams.stream_set import Streams

DRAIN_TIMEOUT_S = 8.0
"""How long a stopping daemon tries to store what it holds; the supervisor kills it after 10 s."""
SLEPT_S = 5.0
"""When the clock advances by this much while the process did not run, the machine slept."""

log = structlog.get_logger(__name__)


async def run(settings: Settings, url: sqlalchemy.URL, *, stop: asyncio.Event) -> None:
    """Stream the wanted markets into the warehouse until ``stop`` is set, then store what is held.

    Outages of Postgres in between are ridden out.

    Raises:
        SettingsError: The port is taken, or the data folder cannot be used.
        WarehouseUnavailable: Postgres cannot be reached at the start, or at the end while the spool is full.
        WarehouseRejected: Postgres refused a statement.
    """
    context = DaemonContext.create(settings, url)
    with claim(settings.data_dir, settings.spool_max_mb * 1_000_000) as claimed:
        for spool in (*claimed.orphans, claimed.own):
            await replay(spool, context)
        try:
            await _run(context, claimed.own, stop)
        except BaseExceptionGroup as group:
            if (ours := group.subgroup(CoinwatchError)) is not None:
                raise first_error(ours) from None
            raise


async def _run(context: DaemonContext, spool: Spool, stop: asyncio.Event) -> None:
    settings, queue = context.settings, context.queue
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        streams = Streams(context, tasks)
        recoverer = Recoverer(context, streams)
        committer = Committer(context, spool, on_gaps_changed=recoverer.wake)
        assignments = Assignments(context, streams)
        health = HealthReport(context, committer, spool)
        reporter = Reporter(context, health, markets_fingerprint=assignments.fingerprint)
        await stack.enter_async_context(
            serve(settings.metrics_host, settings.ingest_port, health, health.metrics)
        )
        try:
            committing = tasks.create_task(committer.run(), name="commit")
            reporting = tasks.create_task(reporter.run(), name="report")
            background = [
                tasks.create_task(assignments.run(), name="assignments"),
                tasks.create_task(recoverer.run(), name="recovery"),
                tasks.create_task(Averager(context).run(), name="averages"),
                tasks.create_task(MinuteCandles(context).run(), name="minutes"),
                tasks.create_task(Poller(context).run(), name="polling"),
                tasks.create_task(_watch_for_sleep(streams), name="sleep"),
            ]
            log.info("started", markets=len(settings.markets), mode=settings.ingest_mode)
            await stop.wait()
            log.info("stopping", held=len(queue))
            await _cancel(background)
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
    """After a machine slept its sockets are dead: reconnect at once instead of waiting for a timeout."""
    while True:
        wall_s, own_s = time.time(), time.monotonic()
        await asyncio.sleep(1)
        slept_s = (time.time() - wall_s) - (time.monotonic() - own_s)
        if slept_s > SLEPT_S:
            log.warning("the machine slept, or its clock was set", seconds=round(slept_s))
            streams.reconnect(GapCause.SLEPT)


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _drain(committing: asyncio.Task[None], queue: TradeQueue) -> None:
    await asyncio.wait({committing}, timeout=DRAIN_TIMEOUT_S)
    if not committing.done():
        raise WarehouseUnavailable(
            f"stopped while Postgres is away and the spool is full: {len(queue)} queued trades and the "
            "current batch were not stored; the next start recovers what the exchanges still return"
        )
