"""Connections to the warehouse: where it is, single connections and pools."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

import psycopg
import sqlalchemy
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError

from coinwatch.errors import (
    NoDatabase,
    SettingsError,
    WarehouseFull,
    WarehouseRejected,
    WarehouseUnavailable,
)
from coinwatch.settings import Settings
from warehouse.db import roles
from warehouse.db.errors import reason, translate, warehouse_errors
from warehouse.embedded.server import EmbeddedPostgres

CONNECT_TIMEOUT_S = 10
_FINISH_TIMEOUT_S = 1.0
_OURS = "-c timezone=UTC -c jit=off"
"""On every server. JIT is off: compiling takes longer than any of our statements runs, and estimates for JSON
rows trigger it."""


def embedded(settings: Settings) -> EmbeddedPostgres | None:
    """The server in the data folder, not started; None when COINWATCH_DATABASE_URL is set."""
    return None if settings.database_url else embedded_in(settings.data_dir)


def embedded_in(data_dir: Path) -> EmbeddedPostgres:
    """The server in a data folder, not started."""
    return EmbeddedPostgres(data_dir / "postgres")


def database_url(settings: Settings, database: str | None = None, *, create: bool = True) -> URL:
    """The URL of the warehouse: COINWATCH_DATABASE_URL, or the embedded server, which is started if needed.

    Args:
        settings: Those of this process.
        database: Another database on the same server, created if absent.
        create: Whether to create the embedded server too, if absent; false for programs that only read.

    Raises:
        SettingsError: COINWATCH_DATABASE_URL cannot be read.
        NoDatabase: There is no embedded server, and ``create`` is false.
        WarehouseError: The server cannot be started, or the database not created.
    """
    server = embedded(settings)
    if server:
        if not create and not server.exists:
            raise NoDatabase(str(settings.data_dir))
        server.start()
        url = server.socket_url()
    else:
        url = _external(settings)
    if database is None or database == url.database:
        return url
    _ensure_database(url, database)
    return url.set(database=database)


def running_url(settings: Settings, database: str) -> URL:
    """The URL of a database on the server of the warehouse. Starts and creates nothing.

    Raises SettingsError, or WarehouseError when the embedded server does not run.
    """
    server = embedded(settings)
    return server.socket_url(database) if server else _external(settings).set(database=database)


def conninfo(url: URL) -> str:
    """``url`` as a libpq connection string. It contains the password: not for logs or arguments."""
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    parts = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        **query,
    }
    return make_conninfo("", **{key: value for key, value in parts.items() if value is not None})


def database_name(url: URL) -> str:
    """The server and database of ``url`` for logs, without a password: ``db.example/coinwatch``."""
    return f"{url.host or url.query.get('host', 'local socket')}/{url.database}"


async def connect(url: URL, *, application_name: str, autocommit: bool = True) -> psycopg.AsyncConnection:
    """A new connection, with times in UTC. Raises WarehouseUnavailable."""
    connecting = asyncio.ensure_future(
        psycopg.AsyncConnection.connect(
            conninfo(url),
            autocommit=autocommit,
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=_options(url),
        )
    )
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # A half-open connection would stay until garbage collection, and the server would wait for it.
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                await (await connecting).close()
        raise
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error


@asynccontextmanager
async def session(
    url: URL, *, application_name: str, autocommit: bool = True
) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection for one block, closed after it. Errors of Postgres in the block are WarehouseError."""
    with warehouse_errors():
        async with await connect(url, application_name=application_name, autocommit=autocommit) as conn:
            yield conn


def engine(
    url: URL,
    *,
    application_name: str,
    statement_timeout_s: float = 15,
    role: str | None = None,
    read_only: bool = False,
) -> sqlalchemy.Engine:
    """A pool of connections for pages and commands. Errors of Postgres in it are WarehouseError.

    A statement is cancelled after ``statement_timeout_s``. Connections use ``role`` where this user may;
    ``read_only`` applies to each transaction in any case.
    """
    given = [_options(url), f"-c statement_timeout={round(statement_timeout_s * 1_000)}"]
    if read_only:
        given.append("-c default_transaction_read_only=on")
    pool = sqlalchemy.create_engine(
        url,
        pool_pre_ping=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": " ".join(given),
        },
    )
    sqlalchemy.event.listen(pool, "handle_error", _translate)
    if role is not None:
        sqlalchemy.event.listen(pool, "connect", lambda made, _record: roles.take_on(made, role))
    return pool


@contextmanager
def reading(
    url: URL, *, application_name: str, statement_timeout_s: float = 15
) -> Iterator[sqlalchemy.Connection]:
    """A connection for one block of reads, closed after it. Raises WarehouseError."""
    pool = engine(url, application_name=application_name, statement_timeout_s=statement_timeout_s)
    try:
        with pool.connect() as connection:
            yield connection
    finally:
        pool.dispose()


def unreachable(url: URL, error: BaseException) -> WarehouseUnavailable:
    """The error for a failed connection to ``url``. Names the server, never the password."""
    host = url.host or url.query.get("host", "localhost")
    port = url.port or url.query.get("port", 5432)
    words = " ".join(str(error).split())
    if os.strerror(ENOSPC) in words:  # libpq passes on the server's message, without its code
        return WarehouseFull(f"database {url.database} on {host}: {words}", reason=reason(error))
    remedy = "" if str(host).startswith("/") else "; start that server, or correct COINWATCH_DATABASE_URL"
    return WarehouseUnavailable(
        f"cannot connect to database {url.database or url.username} on {host} port {port}: {words}{remedy}",
        reason=reason(error),
    )


def _translate(context: ExceptionContext) -> BaseException | None:
    """What SQLAlchemy raises instead of its own error; None for that itself."""
    error = context.original_exception
    if context.is_pre_ping:
        return None
    if context.connection is None and context.engine and isinstance(error, psycopg.OperationalError):
        return unreachable(context.engine.url, error)
    translated = translate(error)
    return None if translated is error else translated


def _options(url: URL) -> str:
    given = url.query.get("options", "")
    return f"{given if isinstance(given, str) else ' '.join(given)} {_OURS}".strip()


def _external(settings: Settings) -> URL:
    if settings.database_url is None:
        raise ValueError("no COINWATCH_DATABASE_URL")
    try:
        url = sqlalchemy.make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):
        raise SettingsError(
            "COINWATCH_DATABASE_URL: cannot be read; "
            "write it as postgresql://user:password@host:port/name, with %-codes for letters such as @ and /"
        ) from None
    return url.set(drivername="postgresql+psycopg")


def _ensure_database(url: URL, name: str) -> None:
    try:
        with psycopg.connect(
            conninfo(url), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="coinwatch"
        ) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                with psycopg.connect(conninfo(url.set(database=name))) as made:
                    roles.grant_all(made)
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was quicker
            except psycopg.errors.InsufficientPrivilege:
                raise WarehouseRejected(
                    f"there is no database {name!r} on the server and user {url.username} may not create it: "
                    f"create it by CREATE DATABASE {name} OWNER {url.username}",
                    kind="InsufficientPrivilege",
                ) from None
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error
