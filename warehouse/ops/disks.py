"""Free space on the file systems of the data folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from coinwatch.formats import names, size
from coinwatch.settings import Settings

FULL_BYTES = 32_000_000
"""With less Postgres cannot add a file to its write-ahead log, each of 16 MB, and ends."""

DATABASE = "database"
_FOLDERS = {DATABASE: "postgres", "spool": "spool", "dagster": "dagster"}
"""What the data folder holds, by name."""


class Disk(msgspec.Struct, frozen=True):
    """A file system and what it stores of Coinwatch."""

    stores: tuple[str, ...]
    """``database``, ``spool`` and ``dagster``."""
    path: str
    free_bytes: int
    """Available to programs of ordinary users."""
    size_bytes: int
    low_bytes: int
    """Free space below this is low."""

    @property
    def is_low(self) -> bool:
        """Whether free space is below the limit of the settings."""
        return self.free_bytes < self.low_bytes

    @property
    def is_full(self) -> bool:
        """Whether Postgres cannot work on it."""
        return self.free_bytes < FULL_BYTES

    def __str__(self) -> str:
        return f"the disk of {names(self.stores)} ({self.path}) has {size(self.free_bytes)} left"


def read_disks(settings: Settings) -> tuple[Disk, ...]:
    """The file systems below the data folder; empty when there is none here. Blocks on the disk.

    The disk of an external Postgres is not among them.
    """
    is_external = settings.database_url is not None
    folders: dict[int, dict[str, Path]] = {}
    for name, below in _FOLDERS.items():
        folder = settings.data_dir / below
        if folder.is_dir() and not (is_external and name == DATABASE):
            folders.setdefault(folder.stat().st_dev, {})[name] = folder
    low_bytes = round(settings.disk_low_gb * 1e9)
    disks = []
    for stores in folders.values():
        usage = shutil.disk_usage(next(iter(stores.values())))
        path = os.path.commonpath(stores.values())
        disks.append(Disk(tuple(stores), path, usage.free, usage.total, low_bytes))
    return tuple(disks)


def disks_in(detail: Mapping[str, Any]) -> tuple[Disk, ...]:
    """The disks that a heartbeat reports; empty when it reports none."""
    try:
        return msgspec.convert(detail.get("disks", ()), tuple[Disk, ...])
    except msgspec.ValidationError:  # of another version
        return ()


def full_disk(disks: Iterable[Disk]) -> Disk | None:
    """The disk of the database, if it is full."""
    return next((disk for disk in disks if DATABASE in disk.stores and disk.is_full), None)


class Disks:
    """The file systems below the data folder as they were measured last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.measured: tuple[Disk, ...] = ()
        """Empty before the first measurement."""

    async def measure(self) -> None:
        """Measure now."""
        with suppress(OSError):  # a folder that was just removed: measured the next time
            self.measured = await asyncio.to_thread(read_disks, self._settings)

    def full(self) -> str | None:
        """The full disk of the embedded server, in words; None when it is not full, or not here."""
        disk = full_disk(self.measured)
        return None if disk is None else str(disk)
