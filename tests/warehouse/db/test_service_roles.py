"""The rights of each service in the warehouse."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from coinwatch.settings import Settings
from tests.servers import Server
from tests.warehouse.service_logins import VARIABLES, login, make_logins
from warehouse.db import roles
from warehouse.db.backup import backup, restore
from warehouse.db.connect import connect, conninfo, database_url
from warehouse.db.migrate import upgrade
from warehouse.db.partitions import drop_tick_day, ensure_tick_days
from warehouse.ops.retention import vacuum
from warehouse.tables import metadata

DAY = date(2030, 1, 1)
SERVICES = (roles.INGEST, roles.ENDPOINT, roles.PIPELINES, roles.DASHBOARD)


@pytest.fixture
def logins(database: URL) -> dict[str, URL]:
    """The URL of the test's database for each service."""
    return {role: login(database, role) for role in SERVICES}


def refused(url: URL, statement: str) -> bool:
    """Whether Postgres denies ``statement`` to the user of ``url``. It is rolled back in any case."""
    with psycopg.connect(conninfo(url)) as conn:
        try:
            conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        finally:
            conn.rollback()
    return False


def test_every_table_is_changed_by_a_service() -> None:
    changed = {*roles.PARTITIONED}.union(*roles.WRITTEN.values())
    assert changed == {*metadata.tables}


@pytest.mark.parametrize("role", SERVICES)
def test_a_service_changes_its_own_tables_and_no_others(logins: dict[str, URL], role: str) -> None:
    own = {*roles.WRITTEN.get(role, ())}
    if roles.PARTITIONS in roles.ROLES[role]:
        own |= {*roles.PARTITIONED}
    if role == roles.DASHBOARD:
        own = {"alert_rules"}
    for table in metadata.tables:
        delete = f'delete from "{table}" where false'  # noqa: S608
        assert refused(logins[role], delete) == (table not in own), table
        assert not refused(logins[role], f'select from "{table}"'), table


@pytest.mark.parametrize("role", SERVICES)
def test_a_service_is_kept_from_what_only_the_owner_may(logins: dict[str, URL], role: str) -> None:
    for statement in (
        "drop table leases",
        "alter table markets add column x int",
        "drop view v_ticks",
        "update alembic_version set version_num = '0000'",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "create role x",
    ):
        assert refused(logins[role], statement), statement
    assert refused(logins[role], "select secret from outlets") == (role != roles.ENDPOINT)
    assert refused(logins[role], "create table mine ()") == (roles.PARTITIONS not in roles.ROLES[role])


async def test_partitions_of_one_service_are_those_of_all(logins: dict[str, URL], database: URL) -> None:
    async with await connect(logins[roles.INGEST], application_name="test") as ingest:
        await ensure_tick_days(ingest, [DAY])
        owner = "select pg_get_userbyid(relowner) from pg_class where relname = 'ticks_2030_01_01'"
        assert await (await ingest.execute(owner)).fetchone() == (roles.PARTITIONS,)
        assert await (await ingest.execute("select current_user")).fetchone() == (roles.INGEST,)
    for role in SERVICES:
        assert not refused(logins[role], "select from ticks")
    async with await connect(logins[roles.PIPELINES], application_name="test") as pipelines:
        await drop_tick_day(pipelines, DAY)
        await ensure_tick_days(pipelines, [DAY])
        await vacuum(pipelines)
    async with await connect(database, application_name="test") as owner_of_all:
        await drop_tick_day(owner_of_all, DAY)


def test_pipelines_vacuums_what_it_does_not_own(logins: dict[str, URL]) -> None:
    warned = []
    with psycopg.connect(conninfo(logins[roles.PIPELINES]), autocommit=True) as conn:
        conn.add_notice_handler(lambda notice: warned.append(notice.message_primary))
        conn.execute("vacuum (analyze) stream_gaps, alert_events, ticks")
        is_old = conn.info.server_version < 170_000
    assert bool(warned) == is_old


@pytest.mark.parametrize("role", SERVICES)
def test_a_service_starts_on_an_upgraded_schema(logins: dict[str, URL], database: URL, role: str) -> None:
    assert upgrade(logins[role]) == []
    with psycopg.connect(conninfo(database)) as conn:
        conn.execute("update alembic_version set version_num = '0011'")
    with pytest.raises(WarehouseError, match=r"run coinwatch db upgrade with .* the owner of the tables"):
        upgrade(logins[role])


def test_an_upgrade_gives_partitions_of_an_earlier_version_away(
    logins: dict[str, URL], database: URL
) -> None:
    with psycopg.connect(conninfo(database)) as conn:
        conn.execute(
            "create table ticks_2030_01_02 partition of ticks "
            "for values from ('2030-01-02') to ('2030-01-03')"
        )
        for table in ("ticks", "ticks_2030_01_02", "candles"):
            conn.execute(f"alter table {table} owner to current_user")
    assert refused(logins[roles.INGEST], "insert into ticks default values")
    upgrade(database)
    assert not refused(logins[roles.PIPELINES], "drop table ticks_2030_01_02")


def test_rights_are_granted_again_after_a_restore(
    logins: dict[str, URL], database: URL, tmp_path: Path
) -> None:
    backup(database, tmp_path / "x.dump")
    restore(database, tmp_path / "x.dump", replace=True)
    assert not refused(logins[roles.INGEST], "delete from leases")
    assert not refused(logins[roles.PIPELINES], "alter table ticks add column x int")
    assert refused(logins[roles.PIPELINES], "delete from leases")


def test_tables_of_dagster_belong_to_either_user(
    logins: dict[str, URL], database: URL, settings_for: Callable[..., Settings]
) -> None:
    name = f"{database.database}_dagster"
    owner = database_url(settings_for(), name)
    pipelines = logins[roles.PIPELINES].set(database=name)
    dashboard = logins[roles.DASHBOARD].set(database=name)
    try:
        for url, table in ((owner, "runs"), (pipelines, "event_logs")):
            with psycopg.connect(conninfo(url)) as conn:
                conn.execute(f"create table {table} (id bigserial primary key, body text)")
        for table in ("runs", "event_logs"):
            with psycopg.connect(conninfo(pipelines)) as conn:
                conn.execute(f"insert into {table} (body) values ('x')")  # noqa: S608
                conn.execute(f"update {table} set body = 'y'")  # noqa: S608
                conn.execute(f"truncate {table}")
            assert not refused(dashboard, f"select from {table}")
            assert refused(dashboard, f"truncate {table}")
    finally:
        with psycopg.connect(conninfo(database), autocommit=True) as conn:
            conn.execute(f"drop database {name} with (force)")


@pytest.mark.parametrize("missing", VARIABLES.values())
def test_without_a_password_no_login_is_made(postgres: Server, missing: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make_logins(postgres.administrator_url("postgres"), without=missing)
    assert caught.value.returncode == 3
