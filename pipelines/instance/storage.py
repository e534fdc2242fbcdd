"""Dagster's runs, events and schedules, on the Postgres server of the warehouse.

``dagster.yaml`` cannot contain the URL: it is a setting, and the URL of the embedded server is known only
when it runs. So the storage reads it from the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from dagster import DagsterInvariantViolationError
from dagster_postgres import DagsterPostgresStorage, PostgresScheduleStorage
from sqlalchemy import URL

from coinwatch.settings import process_settings
from pipelines.dagster_private import ConfigurableClassData, InstigatorState, UserConfigSchema
from pipelines.instance.log_records import shorten_database_errors
from warehouse.db.connect import conninfo, database_url
from warehouse.ops.dagster import DAGSTER_DATABASE, delete_job

_SETUP_LOCK = 0x00DA_6573


class RepairedSchedules(PostgresScheduleStorage):
    """The states of schedules and sensors, which survive a write that was interrupted half way.

    Dagster inserts a new state into two tables, in two transactions. When only the first succeeds, on a full
    disk or in a crash, Dagster fails to insert it ever after, and no sensor runs.
    """

    def add_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Called by Dagster for a schedule or sensor that has no state yet."""
        try:
            return super().add_instigator_state(state)
        except DagsterInvariantViolationError:
            with self.connect() as conn:
                delete_job(conn, state.instigator_origin_id)
            return super().add_instigator_state(state)


class CoinwatchStorage(DagsterPostgresStorage):
    """dagster-postgres on Coinwatch's server. The first process to use it creates the tables."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._schedule_storage = RepairedSchedules(postgres_url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No options: the URL is a setting."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Called by Dagster to create the storage. Raises SettingsError and WarehouseError."""
        shorten_database_errors()
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
