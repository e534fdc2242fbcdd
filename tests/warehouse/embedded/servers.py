"""Embedded servers of a test's own: started by a program of their own too, and asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import URL

from warehouse.db.connect import conninfo
from warehouse.embedded.server import EmbeddedPostgres

FAST = {"fsync": "off"}

MakeServer = Callable[..., EmbeddedPostgres]

START = """
import sys
from pathlib import Path
from warehouse.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"})
server.start()
print(server.url().render_as_string(hide_password=False))
"""


def ask(url: URL, query: str) -> Any:
    with psycopg.connect(conninfo(url), connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
