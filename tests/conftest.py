"""Fixtures of all tests: a database each, settings independent of the machine, recordings."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

from coinwatch.settings import Settings, process_settings
from tests.servers import Server, running_server
from tests.warehouse.service_logins import make_logins
from warehouse.db.connect import connect, conninfo
from warehouse.db.migrate import upgrade

PROJECT = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Tests started with nohup, from cron or after & in a script: what they start would ignore SIGINT too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TEMPLATE = f"template_coinwatch_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture(autouse=True)
def _unread_settings() -> None:
    """Let each test read the settings of its own environment."""
    process_settings.cache_clear()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of the run, with a migrated database to clone and a login for each service."""
    with running_server(tmp_path_factory.mktemp("postgres")) as server, _database(server, _TEMPLATE) as url:
        upgrade(url)
        make_logins(server.administrator_url(_TEMPLATE))
        yield server


@pytest.fixture(scope="session")
def _database_names() -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return (f"test_{worker}_{number}" for number in itertools.count(1))


@pytest.fixture
def database(postgres: Server, _database_names: Iterator[str]) -> Iterator[URL]:
    """A migrated database without rows, dropped after the test."""
    with _database(postgres, next(_database_names), _TEMPLATE) as url:
        yield url


@pytest.fixture
async def conn(database: URL) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection to that database, configured like those of every part of Coinwatch."""
    async with await connect(database, application_name="test") as conn:
        yield conn


@pytest.fixture(scope="module")
def module_database(postgres: Server, _database_names: Iterator[str]) -> Iterator[URL]:
    """A migrated database without rows, shared by the tests of a module and dropped after them."""
    with _database(postgres, next(_database_names), _TEMPLATE) as url:
        yield url


@pytest.fixture
def empty_database(postgres: Server, _database_names: Iterator[str]) -> Iterator[URL]:
    """A database without tables, dropped after the test."""
    with _database(postgres, next(_database_names)) as url:
        yield url


@pytest.fixture
def settings_for(database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Make settings from defaults, the test's own database and folder, and overrides."""
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
def _database(server: Server, name: str, template: str = "template1") -> Iterator[URL]:
    url = server.socket_url(name)
    names = {"name": name, "template": template, "owner": str(url.username)}
    create = sql.SQL("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")
    _administer(server, create.format(**{key: sql.Identifier(value) for key, value in names.items()}))
    yield url
    _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server: Server, statement: sql.Composed) -> None:
    with psycopg.connect(conninfo(server.administrator_url("postgres")), autocommit=True) as connection:
        connection.execute(statement)
