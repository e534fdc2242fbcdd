"""Dagster's runs, events and schedules, on the warehouse's Postgres server.

``dagster.yaml`` cannot hold the URL: it is a setting, and the embedded server has it only once it
runs. So the storage asks Coinwatch for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import URL

from coinwatch.settings import load_settings
from warehouse.db.connect import conninfo, database_url
from warehouse.ops.dagster import DAGSTER_DATABASE

_SETUP_LOCK = 0x00DA_6573


class CoinwatchStorage(DagsterPostgresStorage):
    """dagster-postgres on the server that Coinwatch uses, tables made by whoever comes first."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        url = database_url(load_settings(), DAGSTER_DATABASE)
        with _one_at_a_time(url):
            return cls(dagster_url(url), inst_data=inst_data)


def dagster_url(url: URL) -> str:
    """``url`` for dagster-postgres 0.29, which needs psycopg2.

    SQLAlchemy 2.1 takes a bare ``postgresql://`` for psycopg 3, on which Dagster's own NOTIFY fails.
    """
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


@contextmanager
def _one_at_a_time(url: URL) -> Iterator[None]:
    """Hold the others back while the tables are made.

    On an empty database the webserver and the daemon start together, and Dagster's own retry covers
    only some of the ways in which two creations collide.
    """
    with psycopg.connect(conninfo(url), autocommit=True, connect_timeout=10) as conn:
        conn.execute("select pg_advisory_lock(%s)", (_SETUP_LOCK,))
        yield
