"""The PostgreSQL server of a run: its own, with files in memory where there is room, or a given one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from sqlalchemy import URL, make_url

from warehouse.embedded.server import EmbeddedPostgres

FAST_AND_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
}
"""Test databases are discarded, so they need not survive a crash of the machine."""

_MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's folder in memory; each of ours is private to its owner
_ROOM_BYTES = 4_000_000_000
"""Four servers, each with less than a gigabyte."""


class Server(Protocol):
    """A PostgreSQL server on which tests create databases."""

    def socket_url(self, database: str) -> URL:
        """The URL of a database of the server."""

    def administrator_url(self, database: str) -> URL:
        """The same for a superuser."""


@dataclass(frozen=True)
class ExternalServer:
    """The server of ``COINWATCH_TEST_DATABASE_URL``, whose user is a superuser."""

    url: URL

    def socket_url(self, database: str) -> URL:
        return self.url.set(database=database)

    def administrator_url(self, database: str) -> URL:
        return self.socket_url(database)


@contextmanager
def running_server(disk: Path) -> Iterator[Server]:
    """The server of the run; its own keeps its files in memory, or in ``disk`` where there is no room."""
    external = os.environ.get("COINWATCH_TEST_DATABASE_URL")
    if external:
        yield ExternalServer(make_url(external).set(drivername="postgresql+psycopg"))
        return
    with _folder(disk) as folder:
        server = EmbeddedPostgres(folder / "postgres", FAST_AND_FORGETFUL)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _folder(disk: Path) -> Iterator[Path]:
    """A thousand databases of a thousand files are made in a run: in memory, that costs a quarter."""
    _remove_orphans()
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        yield disk
        return
    folder = _MEMORY / f"coinwatch-tests-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _remove_orphans() -> None:
    """Stop and remove the servers of runs that were killed."""
    for folder in _MEMORY.glob("coinwatch-tests-*"):
        is_ours = folder.stat().st_uid == os.geteuid()
        if is_ours and not psutil.pid_exists(int(folder.name.rpartition("-")[2])):
            EmbeddedPostgres(folder / "postgres").stop()
            shutil.rmtree(folder, ignore_errors=True)
