"""The embedded Postgres of the stack is restarted, and a full disk does not fill the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.cli.runner import keepers
from app.cli.runner.keepers import watched
from coinwatch.settings import Settings
from tests.chaos.small_disk import small_disk
from tests.waiting import eventually
from warehouse.embedded import postmaster, progress
from warehouse.embedded.server import EmbeddedPostgres

DISK_MB = 200


def kill(server: EmbeddedPostgres) -> None:
    live = postmaster.find(server.folder / "data")
    assert live is not None
    live.process.kill()
    live.process.wait(10)


@asynccontextmanager
async def kept(server: EmbeddedPostgres, data_dir: Path) -> AsyncIterator[list[str]]:
    """A server that is kept running; yields the lines that are printed about it."""
    lines: list[str] = []
    settings = Settings(_env_file=None, data_dir=data_dir)
    await asyncio.to_thread(server.start)
    try:
        async with watched(server, settings, lambda _, line: lines.append(line)):
            yield lines
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_full_disk_is_named_once_and_the_server_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "POSTGRES_CHECK_S", 0.1)
    monkeypatch.setattr(keepers, "POSTGRES_RETRY_S", 0.1)
    monkeypatch.setattr(keepers, "POSTGRES_SETTLED_S", 0.1)
    monkeypatch.setattr(progress, "FULL_DISK_S", 1.0)
    with small_disk(tmp_path / "disk", DISK_MB) as disk:
        server = EmbeddedPostgres(disk.path / "postgres", {"max_wal_size": "64MB", "min_wal_size": "32MB"})
        async with kept(server, disk.path) as lines:
            disk.fill()
            kill(server)
            await eventually(lambda: len(lines) == 2)
            await asyncio.sleep(2)  # several attempts
            assert lines[0] == "does not answer; starting it"
            assert lines[1].startswith("cannot start: the disk of database (")
            assert len(lines) == 2
            disk.free()
            await eventually(server.is_running)
            await eventually(lambda: lines[-1].startswith("ready again after "))
            assert len(lines) <= 4  # an attempt that was under way may fail
