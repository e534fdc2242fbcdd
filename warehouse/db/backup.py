"""Backup of the whole warehouse to a file by ``pg_dump``, and restore in one transaction."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from coinwatch.files import replacing
from warehouse.db.client_programs import environment, place
from warehouse.db.connect import CONNECT_TIMEOUT_S, conninfo, unreachable
from warehouse.db.migrate import knows, upgrade
from warehouse.embedded.programs import program
from warehouse.tables import metadata
from warehouse.views import VIEWS

_PARTITION = r"^(ticks|candles)_\d{4}_\d{2}(_\d{2})?$"
_WAIT_FOR_OTHERS = "10s"


def backup(url: URL, file: Path) -> int:
    """Write the whole database to ``file``; return its size in bytes.

    The file appears, or is replaced, only when it is complete. Raises WarehouseError.
    """
    command = [str(program("pg_dump")), "--format=custom", f"--dbname={place(url)}"]
    try:
        with replacing(file) as part:
            # Not on its standard output, to which it writes the table of contents twice.
            done = subprocess.run(
                [*command, f"--file=/dev/fd/{part}"],
                pass_fds=[part],
                env=environment(url),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise WarehouseError(f"the backup to {file} failed: {_one_line(done.stderr)}")
            return os.fstat(part).st_size
    except OSError as error:
        raise WarehouseError(f"cannot write {file}: {error.strerror}") from error


def restore(url: URL, file: Path, *, replace: bool) -> None:
    """Restore a backup, then upgrade it to the schema of this release.

    Refuses a database that holds trades, candles or alert rules, unless ``replace`` is set, which deletes
    the data of Coinwatch first. A failed restore leaves the database unchanged.
    Raises WarehouseError.
    """
    revision = _revision_in(file)
    if not knows(revision):
        raise WarehouseError(
            f"{file} is of a newer Coinwatch (revision {revision}): restore it with that version"
        )
    try:
        with psycopg.connect(conninfo(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
            held = [name for name in ("ticks", "candles", "alert_rules") if _has_rows(connection, name)]
            if held and not replace:
                raise WarehouseError(
                    f"the database already holds {', '.join(held).replace('_', ' ')}: "
                    "give --replace to delete its data, or restore into an empty database"
                )
            ours = [*metadata.tables, "alembic_version"]
            tables = [name for (name,) in connection.execute(_TABLES, [ours, _PARTITION])]
            server_version = connection.info.server_version
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error
    _play(url, file, tables, server_version)
    upgrade(url)


def _play(url: URL, file: Path, tables: Sequence[str], server_version: int) -> None:
    """Feed the dump to ``psql``. Without our COMMIT at the end, nothing changes."""
    prelude = ["BEGIN;", f"SET lock_timeout = '{_WAIT_FOR_OTHERS}';"]
    prelude.append(f"DROP VIEW IF EXISTS {', '.join(view.name for view in VIEWS)};")
    if tables:
        prelude.append(f"DROP TABLE {', '.join(tables)};")
    read = [str(program("pg_restore")), "--no-owner", "--no-privileges", "--file=-", str(file)]
    write = [str(program("psql")), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    write.append(f"--dbname={place(url)}")
    with tempfile.TemporaryFile() as log:
        # When psql fails, the pipe breaks; the log has the reason.
        with (
            contextlib.suppress(BrokenPipeError),
            subprocess.Popen(read, stdout=subprocess.PIPE, stderr=log) as reader,
            subprocess.Popen(
                write, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, env=environment(url)
            ) as writer,
        ):
            source, sink = reader.stdout, writer.stdin
            if source and sink:
                sink.write("\n".join([*prelude, ""]).encode())
                _copy(source, sink, server_version)
                if reader.wait() == 0:
                    sink.write(b"COMMIT;\n")
        if reader.returncode != 0 or writer.returncode != 0:
            log.seek(0)
            reason = _one_line(log.read().decode(errors="replace"))
            hint = " (stop Coinwatch first)" if "lock timeout" in reason else ""
            raise WarehouseError(f"the restore of {file} failed and nothing was changed{hint}: {reason}")


def _copy(source: IO[bytes], sink: IO[bytes], server_version: int) -> None:
    for line in source:
        # The head of the dump sets parameters of the newest server; one of them is new in 17.
        if server_version < 170_000 and line.startswith(b"SET transaction_timeout"):
            continue
        sink.write(line)
        if line.startswith(b"SET client_min_messages"):
            break
    shutil.copyfileobj(source, sink, 1 << 20)


def _revision_in(file: Path) -> str:
    """The schema revision of a backup. Raises WarehouseError when it is not a backup of Coinwatch."""
    command = [str(program("pg_restore")), "--data-only", "--table=alembic_version", "--file=-", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WarehouseError(f"{file} cannot be restored: {_one_line(done.stderr)}")
    match = re.search(r"^COPY \S*alembic_version .*\n(\S+)\n\\\.$", done.stdout, re.MULTILINE)
    if not match:
        raise WarehouseError(f"{file} is not a backup of Coinwatch: it names no schema revision")
    return match.group(1)


def _has_rows(connection: psycopg.Connection, table: str) -> bool:
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return False
    query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(table))
    return bool(connection.execute(query).fetchall())


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1_000]


_TABLES = """
SELECT relname FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
  AND (relname = ANY (%s) OR relname ~ %s)
ORDER BY relname
"""
