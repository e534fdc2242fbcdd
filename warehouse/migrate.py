"""The schema, brought up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from coinwatch.errors import WarehouseError
from warehouse import views
from warehouse.connect import engine, unreachable

_LOCK = 0x636F696E  # "coin": one upgrade at a time
_TIMEOUT_S = 3_600.0


def upgrade(url: URL) -> list[str]:
    """Bring the database to this release's schema; returns the revisions applied, oldest first.

    All or nothing, and safe from several processes at once. Raises WarehouseError, also when a
    newer release has been here.
    """
    pool = engine(url, application_name="coinwatch upgrade", statement_timeout_s=_TIMEOUT_S)
    try:
        with pool.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            return _upgrade(connection)
    except OperationalError as error:
        raise unreachable(url, error.orig or error) from error
    except DBAPIError as error:
        raise WarehouseError(f"the schema could not be upgraded: {error.orig}") from error
    finally:
        pool.dispose()


def knows(revision: str) -> bool:
    """Whether this release has ``revision``."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def _upgrade(connection: Connection) -> list[str]:
    before = MigrationContext.configure(connection).get_current_revision()
    if before and not knows(before):
        raise WarehouseError(
            f"the database is at revision {before}, which this release does not know: "
            "a newer Coinwatch has upgraded it; use that one"
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
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
