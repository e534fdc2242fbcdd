"""Embedded servers of a test's own: started by a program of their own too, and asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL

from warehouse.db.connect import conninfo
from warehouse.embedded.account import account_for
from warehouse.embedded.programs import program
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


def make_folder_of_0_1(folder: Path) -> None:
    """A folder as version 0.1 made it: its only role is the superuser ``coinwatch``.

    A server started in it stays as it is while the folder has a file ``roles``, which this makes too.
    """
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "password").write_text("old-password\n")
    (folder / "roles").touch()
    account = account_for(folder, program("postgres").parent)
    if account.owner:
        for path in (folder, *folder.iterdir()):
            os.chown(path, *account.owner)

    def run(name: str, *arguments: str | Path, stdin: str = "") -> None:
        words = [word if isinstance(word, str) else account.name_for(word, data) for word in arguments]
        command = [*account.prefix, str(account.programs / name), *words]
        subprocess.run(command, cwd=data, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)

    run(
        *("initdb", "--pgdata", data, "--username=coinwatch", "--pwfile", folder / "password", "--no-sync"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    run("postgres", "--single", "-D", data, "postgres", stdin="CREATE DATABASE coinwatch\n")
