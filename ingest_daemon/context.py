"""What the parts of one daemon share."""

from __future__ import annotations

import os
import socket
from typing import Self

import msgspec
import psycopg
import sqlalchemy

from coinwatch.health.outage import Outage
from coinwatch.settings import Settings
from ingest_daemon.metrics import Metrics
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.storage.disk_watch import DiskWatch
from ingest_daemon.storage.queue import TradeQueue
from ingest_daemon.streams.status_board import StreamStatusBoard
from warehouse.db.connect import connect, database_name
from warehouse.markets import MarketIds


class DaemonContext(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Built once, where the daemon starts, and passed to each of its parts.

    The objects it holds change while the daemon runs; which objects they are does not.
    """

    settings: Settings
    url: sqlalchemy.URL
    """The warehouse."""
    daemon: str
    """The name of this process in heartbeats, leases and stream gaps: ``host:pid``."""
    market_ids: MarketIds
    """Of the markets this daemon streams or polls, and of those it did before."""
    queue: TradeQueue
    continuity: Continuity
    status_board: StreamStatusBoard
    metrics: Metrics
    disk_watch: DiskWatch
    outage: Outage

    @classmethod
    def create(cls, settings: Settings, url: sqlalchemy.URL, daemon: str | None = None) -> Self:
        """A context with nothing streamed yet, for this process unless ``daemon`` names another."""
        metrics = Metrics()
        disk_watch = DiskWatch(settings, metrics)
        return cls(
            settings=settings,
            url=url,
            daemon=daemon or process_name(),
            market_ids=MarketIds(),
            queue=TradeQueue(),
            continuity=Continuity(),
            status_board=StreamStatusBoard(),
            metrics=metrics,
            disk_watch=disk_watch,
            outage=Outage(
                database_name(url),
                "trades are kept in the spool until it stores them",
                full_disk=disk_watch.full,
            ),
        )

    async def connect(self, part: str = "") -> psycopg.AsyncConnection:
        """A connection in autocommit mode, named after ``part`` in ``pg_stat_activity``.

        Raises WarehouseUnavailable when Postgres cannot be reached.
        """
        return await connect(self.url, application_name=f"coinwatch ingest {part}".rstrip())


def process_name() -> str:
    """This process, as heartbeats, leases and stream gaps name it: ``host:pid``."""
    return f"{socket.gethostname()}:{os.getpid()}"
