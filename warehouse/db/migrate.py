"""Upgrades of the schema."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, text

from coinwatch.errors import WarehouseError, WarehouseRejected
from warehouse import views
from warehouse.db import roles
from warehouse.db.connect import CONNECT_TIMEOUT_S, conninfo, engine
from warehouse.db.errors import warehouse_errors
from warehouse.ops.dagster import DAGSTER_DATABASE

_LOCK = 0x636F696E  # "coin": one upgrade at a time
_TIMEOUT_S = 3_600.0


def upgrade(url: URL) -> list[str]:
    """Upgrade the database to the schema of this release; return the applied revisions, oldest first.

    All or nothing, and safe from several processes at once. Raises WarehouseError, also for a database
    that a newer release has upgraded.
    """
    pool = engine(url, application_name="coinwatch upgrade", statement_timeout_s=_TIMEOUT_S)
    try:
        with warehouse_errors():
            with pool.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                applied = _upgrade(connection)
                roles.grant(_driver(connection))
            _grant_dagster(pool, url)
        return applied
    except WarehouseRejected as error:
        hint = ""
        if error.kind == "InsufficientPrivilege":
            hint = "; run coinwatch db upgrade with a COINWATCH_DATABASE_URL of the owner of the tables"
        raise WarehouseError(f"the schema could not be upgraded: {error}{hint}") from error
    finally:
        pool.dispose()


def _grant_dagster(pool: Engine, url: URL) -> None:
    """Grant our roles the right to read Dagster's database, which may be older than they are."""
    with pool.connect() as connection:
        known = text(
            "SELECT FROM pg_database WHERE datname = :name AND has_database_privilege(oid, 'connect')"
        )
        if connection.execute(known, {"name": DAGSTER_DATABASE}).first() is None:
            return
    with psycopg.connect(
        conninfo(url.set(database=DAGSTER_DATABASE)),
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="coinwatch upgrade",
    ) as dagster:
        roles.grant_all(dagster)


def _driver(connection: Connection) -> psycopg.Connection:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError(f"not psycopg: {type(driver)}")
    return driver


def knows(revision: str) -> bool:
    """Whether this release has ``revision``."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def _upgrade(connection: Connection) -> list[str]:
    before = MigrationContext.configure(connection).get_current_revision()
    if before and not knows(before):
        raise WarehouseError(
            f"the database is at revision {before}, which this release does not know: "
            "a newer Coinwatch has upgraded it; use that version"
        )
    pending = [script.revision for script in _scripts().iterate_revisions("head", before or "base")]
    if not pending:
        return []
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    views.create(connection)
    return pending[::-1]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    # Config values are interpolated, so a % in the path must be doubled.
    config.set_main_option(
        "script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%")
    )
    return config
