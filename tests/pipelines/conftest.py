"""Collection against the simulator, and Dagster instances made from our own dagster.yaml."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.settings import Settings, process_settings
from simulator.server import Simulator
from tests.conftest import PROJECT
from tests.servers import Server
from tests.warehouse.service_logins import login
from warehouse.db import roles
from warehouse.db.connect import conninfo, database_url
from warehouse.ops.dagster import DAGSTER_DATABASE

Conn = psycopg.AsyncConnection[Any]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Few trades: many minutes are empty, and days are short to fold from trades."""
    async with Simulator(trades_per_s=2) as simulator:
        yield simulator


@pytest.fixture
def configure(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Settings]:
    """Put settings where a program finds them: in the environment of this process.

    The owner makes the database of Dagster, which then uses it by a login of its own.
    """

    def set_all(**overrides: str) -> Settings:
        settings = settings_for()
        monkeypatch.chdir(tmp_path)  # away from the .env of the developer
        url = login(database_url(settings), roles.PIPELINES)
        database_url(settings, DAGSTER_DATABASE)
        given = {
            "database_url": url.set(drivername="postgresql").render_as_string(hide_password=False),
            "data_dir": str(settings.data_dir),
            "rate_limit_scale": "1000",
            **overrides,
        }
        for name, value in given.items():
            monkeypatch.setenv(f"COINWATCH_{name.upper()}", value)
        process_settings.cache_clear()
        return settings_for(**overrides)

    return set_all


@pytest.fixture
def dagster_home(configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with our dagster.yaml, named by DAGSTER_HOME."""
    configure()
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


@pytest.fixture
def instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that Dagster's own programs would use, without anything in it.

    Its database is made once for all tests, because that takes a second.
    """
    with dg.DagsterInstance.get() as instance:
        instance.wipe()
        yield instance


@pytest.fixture
def without_dagster(
    postgres: Server, configure: Callable[..., Settings], database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database for Dagster on the server yet, and programs of a user who may create it."""
    configure()
    owner = database.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("COINWATCH_DATABASE_URL", owner)
    process_settings.cache_clear()
    with psycopg.connect(conninfo(postgres.administrator_url("postgres")), autocommit=True) as conn:
        conn.execute(f"drop database if exists {DAGSTER_DATABASE} with (force)")
