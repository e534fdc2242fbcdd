"""The system user of the embedded Postgres, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from coinwatch.errors import WarehouseError

FALLBACK = "nobody"
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8


@dataclass(frozen=True)
class Account:
    """The system user that owns the server's files and runs its programs."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    """What to put before a command so that it runs as this user."""

    def own(self, path: Path) -> None:
        """Make this user the owner of ``path``, which we created."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def account_for(folder: Path, programs: Path) -> Account:
    """The user to run ``programs`` as, on the files below ``folder`` (which may not exist yet).

    A normal user runs them as itself. Root runs them as the owner of ``folder``, or as ``nobody`` if that is
    root too. Where that user cannot reach ``folder`` or ``programs`` (for example below /root), the programs
    get the capability to enter closed folders, so that these stay closed to other users. Raises
    WarehouseError when that is not possible here.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise WarehouseError(
            "Postgres does not run as root, and the program setpriv (package util-linux), which starts it "
            "as another user, is missing: install it, run as a normal user, or set COINWATCH_DATABASE_URL"
        )
    uid, gid = _owner(folder)
    prefix = [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    closed = _first_closed(folder.parent, uid) or _first_closed(programs, uid)
    if closed:
        if not _may_pass_on(_CAP_DAC_READ_SEARCH, _CAP_SETPCAP):
            raise WarehouseError(
                f"Postgres does not run as root, and user {pwd.getpwuid(uid).pw_name}, whom it runs as here, "
                f"may not enter {closed}: run as a normal user, or move the data folder "
                "(COINWATCH_DATA_DIR) and the installation out of it, or set COINWATCH_DATABASE_URL"
            )
        # no_setuid_fixup: without it, access(2), with which Postgres looks for its own binary,
        # ignores the capabilities of any user but root.
        prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        prefix += ["--securebits=+no_setuid_fixup"]
    return Account(uid, gid, tuple(prefix))


def _owner(folder: Path) -> tuple[int, int]:
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
        if not step.exists():
            return None  # not created yet: will be open, like all folders we create above our own
        status = step.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return step
    return None


def _may_pass_on(*capabilities: int) -> bool:
    """Whether this process may give ``capabilities`` to a program it starts."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("CapPrm:", "CapBnd:"))]
    return all(mask >> capability & 1 for mask in masks for capability in capabilities)
