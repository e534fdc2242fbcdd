"""Connections of PostgreSQL's own programs: psql, pg_dump."""

from __future__ import annotations

import os
import shutil

from sqlalchemy import URL

from warehouse.db.connect import conninfo
from warehouse.embedded.programs import program


def psql() -> str:
    """The path of the psql on PATH, else of the embedded server's. Raises WarehouseError without both."""
    return shutil.which("psql") or str(program("psql"))


def place(url: URL) -> str:
    """The connection string for a command line, which other users can read: without the password."""
    return conninfo(url._replace(password=None).difference_update_query(["password"]))


def environment(url: URL) -> dict[str, str]:
    """The environment of that program, with the password."""
    password = url.password or url.query.get("password")
    return {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
