"""Which process may use which spool: a folder each, held by file locks that end with the process."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from coinwatch.errors import SettingsError
from coinwatch.files import make_folder, open_file
from ingest_daemon.storage.spool import Spool, sync_folder

_LOCK = "lock"


class SpoolClaim(msgspec.Struct, frozen=True):
    """The spools that only this process may use."""

    own: Spool
    orphans: list[Spool]
    """What daemons that have ended could not store. No process appends to them."""


@contextmanager
def claim(data_dir: Path, cap_bytes: int) -> Iterator[SpoolClaim]:
    """Lock the first spool in ``data_dir`` that no living process holds, and all with orphaned records.

    Args:
        data_dir: The data folder; spools are in its folder ``spool``.
        cap_bytes: Greatest size of each spool.

    Raises:
        SettingsError: The folder cannot be used.
    """
    root = data_dir / "spool"
    with ExitStack() as stack:
        try:
            make_folder(root)
            # A search locks every folder for a moment. Two searches at once would take each other's
            # locks for living processes.
            with _locked(root / _LOCK):
                own = next(folder for folder in _folders(root) if _try_lock(folder, stack))
                others = sorted({path.parent for path in root.glob("*/*.segment")} - {own})
                orphans = [folder for folder in others if _try_lock(folder, stack)]
            spools = [Spool(folder, cap_bytes) for folder in (own, *orphans)]
        except OSError as error:
            raise SettingsError(
                f"COINWATCH_DATA_DIR: the spool in {root} cannot be used: {error.strerror}"
            ) from error
        for spool in spools:
            stack.callback(spool.close)
        yield SpoolClaim(spools[0], [spool for spool in spools[1:] if spool.records])


def _folders(root: Path) -> Iterator[Path]:
    for number in itertools.count():
        folder = root / str(number)
        make_folder(folder)
        sync_folder(root)
        yield folder


def _try_lock(folder: Path, stack: ExitStack) -> bool:
    """Whether ``folder`` was free; then it is locked until ``stack`` is left, or this process ends."""
    file = open_file(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    stack.callback(os.close, file)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
