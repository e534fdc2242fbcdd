"""Dagster's runs, events and schedules, on the Postgres server of the warehouse.

``dagster.yaml`` cannot contain the URL: it is a setting, and the URL of the embedded server is known only
when it runs. So the storage reads it from the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import URL

from coinwatch.settings import process_settings
from pipelines.dagster_private import ConfigurableClassData, UserConfigSchema
from warehouse.db.connect import conninfo, database_url
from warehouse.ops.dagster import DAGSTER_DATABASE

_SETUP_LOCK = 0x00DA_6573


class CoinwatchStorage(DagsterPostgresStorage):
    """dagster-postgres on Coinwatch's server. The first process to use it creates the tables."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No options: the URL is a setting."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Called by Dagster to create the storage. Raises SettingsError and WarehouseError."""
        url = database_url(process_settings(), DAGSTER_DATABASE)
        with _setup_lock(url):
            return cls(dagster_url(url), inst_data=inst_data)


def dagster_url(url: URL) -> str:
    """``url`` for dagster-postgres 0.29, which needs psycopg2.

    SQLAlchemy 2.1 uses psycopg 3 for a bare ``postgresql://``, on which Dagster's own NOTIFY fails.
    """
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


@contextmanager
def _setup_lock(url: URL) -> Iterator[None]:
    """Let only one process at a time create the tables.

    On an empty database the webserver and the daemon start together, and Dagster's own retry covers only
    some of the ways in which they collide.
    """
    with psycopg.connect(conninfo(url), autocommit=True, connect_timeout=10) as conn:
        conn.execute("select pg_advisory_lock(%s)", (_SETUP_LOCK,))
        yield
