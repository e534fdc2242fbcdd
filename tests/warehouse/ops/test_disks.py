"""Free space of the data folder, by file system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from coinwatch.settings import Settings
from warehouse.ops.disks import FULL_BYTES, Disk, disks_in, full_disk, read_disks

SMALL = Path("/dev/shm")  # noqa: S108  # another file system, where there is one


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_folders_on_the_same_file_system_are_a_single_disk(tmp_path: Path) -> None:
    folders(tmp_path, "postgres", "spool")
    settings = Settings(_env_file=None, data_dir=tmp_path, disk_low_gb=0)
    (disk,) = read_disks(settings)
    assert (disk.stores, disk.path) == (("database", "spool"), str(tmp_path))
    assert 0 < disk.free_bytes <= disk.size_bytes == shutil.disk_usage(tmp_path).total
    assert not disk.is_low


def test_an_external_database_is_on_no_disk_here(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for(disk_low_gb=1_000_000)
    folders(settings.data_dir, "postgres", "spool", "dagster")
    (disk,) = read_disks(settings)
    assert disk.stores == ("spool", "dagster")
    assert disk.is_low
    assert full_disk([disk]) is None


def test_without_a_data_folder_there_is_no_disk(settings_for: Callable[..., Settings]) -> None:
    assert read_disks(settings_for()) == ()


def test_each_file_system_is_a_disk_of_its_own(tmp_path: Path) -> None:
    folders(tmp_path, "postgres")
    other = SMALL if SMALL.is_dir() else tmp_path
    os.symlink(other, tmp_path / "spool")
    disks = read_disks(Settings(_env_file=None, data_dir=tmp_path))
    devices = {os.stat(tmp_path).st_dev, os.stat(other).st_dev}
    assert len(disks) == len(devices)
    assert {name for disk in disks for name in disk.stores} == {"database", "spool"}


def test_only_the_disk_of_the_database_can_be_full() -> None:
    spool = Disk(("spool",), "/spool", 0, 10**9, 10**8)
    database = Disk(("database", "dagster"), "/data", FULL_BYTES - 1, 10**9, 10**8)
    assert full_disk([spool, database]) is database
    assert full_disk([spool]) is None
    assert str(database) == "the disk of database and dagster (/data) has 32.0 MB left"


def test_disks_of_a_heartbeat() -> None:
    disk = Disk(("spool",), "/spool", 1, 2, 3)
    assert disks_in(msgspec.to_builtins({"disks": (disk,)})) == (disk,)
    assert disks_in({}) == ()
    assert disks_in({"disks": "of another version"}) == ()
