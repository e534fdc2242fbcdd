"""The system user of the embedded Postgres, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from coinwatch.errors import WarehouseError
from coinwatch.files import Owner
from warehouse.embedded.programs import OPEN_FOLDER, open_copy

FALLBACK = "nobody"
_HERE = "/proc/self/cwd"
"""The working directory of the process that opens it, also where it may not enter the folders above."""


@dataclass(frozen=True)
class Account:
    """The system user that owns the server's files and runs its programs."""

    uid: int
    gid: int
    programs: Path
    """The folder of programs that this user may run."""
    prefix: tuple[str, ...] = ()
    """What to put before a command so that it runs as this user, without privileges."""

    @property
    def owner(self) -> Owner | None:
        """The owner of what root writes for this user; None when we are this user."""
        return (self.uid, self.gid) if self.prefix else None

    def name_for(self, path: Path, cwd: Path) -> str:
        """How a program of this user that is started in ``cwd`` can open ``path``.

        Below a closed folder, such as /root, a program only reaches its working directory, which root has
        entered for it, and what is beside it.
        """
        if not self.prefix:
            return str(path)
        return _HERE if path == cwd else os.path.relpath(path, cwd)


def account_for(folder: Path, programs: Path) -> Account:
    """The user to run ``programs`` as, on the files below ``folder`` (which may not exist yet).

    A normal user runs them as itself. Root runs them as the owner of ``folder``, or as ``nobody`` if that is
    root too, and without any capability. Where that user cannot reach ``programs`` (for example below
    /root), it runs a copy in ``OPEN_FOLDER``. Raises WarehouseError when that is not possible here.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), programs)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise WarehouseError(
            "Postgres does not run as root, and the program setpriv (package util-linux), which starts it "
            "as another user, is missing: install it, run as a normal user, or set COINWATCH_DATABASE_URL"
        )
    uid, gid = _owner(folder)
    if closed := _first_closed(programs, uid):
        try:
            programs = open_copy(programs)
        except OSError as error:
            raise WarehouseError(
                f"Postgres does not run as root, user {_name(uid)}, whom it runs as here, may not enter "
                f"{closed}, and its programs cannot be copied to {OPEN_FOLDER} ({error}): run as a normal "
                f"user, install Coinwatch outside {closed}, or set COINWATCH_DATABASE_URL"
            ) from error
    prefix = (
        *(setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
        *("--inh-caps=-all", "--no-new-privs"),
    )
    return Account(uid, gid, programs, prefix)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(folder: Path) -> Owner:
    try:
        status = folder.stat()
    except FileNotFoundError:
        status = None
    if status and status.st_uid != 0:
        return status.st_uid, status.st_gid
    try:
        entry = pwd.getpwnam(FALLBACK)
    except KeyError:
        raise WarehouseError(
            f"Postgres does not run as root, and there is no user {FALLBACK!r} to run it as: "
            "run as a normal user, or set COINWATCH_DATABASE_URL"
        ) from None
    return entry.pw_uid, entry.pw_gid


def _first_closed(path: Path, uid: int) -> Path | None:
    """The first folder on the way to ``path`` that ``uid`` may not enter."""
    for step in (*reversed(path.parents), path):
        status = step.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return step
    return None
