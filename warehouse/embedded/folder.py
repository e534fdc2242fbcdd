"""The folder of the embedded server: whose it is, which process may change it, and its log."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coinwatch.errors import WarehouseError
from coinwatch.files import make_folder, open_file, open_folder
from warehouse.embedded.account import Account


def claim(folder: Path, account: Account) -> None:
    """Make ``folder``, or check that it is for us: root gives ``account`` only an empty folder of its own.

    Raises WarehouseError and OSError.
    """
    if make_folder(folder, 0o700, account.owner):
        return
    with open_folder(folder) as opened:
        if account.owner and os.fstat(opened).st_uid != account.uid:
            if os.listdir(opened):
                raise WarehouseError(f"{folder} holds other files: set COINWATCH_DATA_DIR to another folder")
            os.fchown(opened, *account.owner)
        os.fchmod(opened, 0o700)


@contextmanager
def locked(folder: Path, account: Account | None) -> Iterator[None]:
    """Let only one process at a time start or stop the server in ``folder``. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT
    # Not inherited by the server.
    file = open_file(folder / "lock", flags, owner=account.owner if account else None)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def last_lines(log: Path, start: int, count: int = 8) -> str:
    """The last lines logged since ``start``, for an error message."""
    try:
        with os.fdopen(open_file(log, os.O_RDONLY), "rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return f"The end of {log}:\n  " + "\n  ".join(lines[-count:]) if lines else ""
