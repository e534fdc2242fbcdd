"""What every test may ask for: a database of its own, settings that ignore the machine, recordings."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

from coinwatch.settings import Settings
from warehouse.db.connect import connect, conninfo
from warehouse.db.migrate import upgrade
from warehouse.embedded.server import EmbeddedPostgres

PROJECT = Path(__file__).resolve().parents[1]

FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Tests throw their databases away, so these need not survive the machine."""

_TEMPLATE = "template_coinwatch"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for the whole run, with a migrated database to copy from."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), FAST_AND_FORGETFUL)
    server.start()
    try:
        _administer(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        upgrade(server.socket_url(_TEMPLATE))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _database_names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def database(postgres: EmbeddedPostgres, _database_names: Iterator[str]) -> Iterator[URL]:
    """A migrated database without rows, gone after the test."""
    with _copy(postgres, next(_database_names)) as url:
        yield url


@pytest.fixture
async def conn(database: URL) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection to that database, as every part of Coinwatch has them."""
    async with await connect(database, application_name="test") as conn:
        yield conn


@pytest.fixture(scope="module")
def module_database(postgres: EmbeddedPostgres, _database_names: Iterator[str]) -> Iterator[URL]:
    """A migrated database without rows, gone after the tests of a module, which share it."""
    with _copy(postgres, next(_database_names)) as url:
        yield url


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres, _database_names: Iterator[str]) -> Iterator[URL]:
    """A database without even tables, gone after the test."""
    name = next(_database_names)
    _administer(postgres, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres.socket_url(name)
    _administer(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings_for(database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Make settings from nothing but defaults, the test's own database and folder, and what is given."""
    for name in os.environ:
        if name.startswith("COINWATCH_"):
            monkeypatch.delenv(name)

    def make(**overrides: Any) -> Settings:
        given = {
            "data_dir": tmp_path / "coinwatch",
            "database_url": database.set(drivername="postgresql").render_as_string(hide_password=False),
            **overrides,
        }
        return Settings(_env_file=None, **given)

    return make


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded exchange frames."""
    folder = Path(os.environ.get("COINWATCH_RECORDINGS", PROJECT.parent / "shared" / "recordings"))
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}: set COINWATCH_RECORDINGS to the folder that has them")
    return folder


@contextmanager
def _copy(server: EmbeddedPostgres, name: str) -> Iterator[URL]:
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_TEMPLATE))
    _administer(server, make)
    yield server.socket_url(name)
    _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(conninfo(server.socket_url()), autocommit=True) as connection:
        connection.execute(statement)
