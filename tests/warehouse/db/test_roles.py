"""The rights of the dashboard, checked in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL, Connection, text

from coinwatch.alerts import Above, NewRule
from coinwatch.errors import WarehouseReadOnly, WarehouseRejected
from coinwatch.records import Symbol
from coinwatch.settings import Settings
from warehouse.alerts import rules
from warehouse.db import roles
from warehouse.db.connect import connect, conninfo, database_url, engine
from warehouse.db.migrate import upgrade
from warehouse.db.partitions import ensure_tick_days
from warehouse.tables import metadata
from warehouse.views import VIEWS

WISH = NewRule(symbol=Symbol("BTC", "USDT"), condition=Above(price=1.0), typed="btcusdt", client="dashboard")


@contextmanager
def working_as(url: URL, role: str | None, *, read_only: bool = False) -> Iterator[Connection]:
    pool = engine(url, application_name="test", role=role, read_only=read_only)
    try:
        with pool.connect() as conn:
            yield conn
    finally:
        pool.dispose()


def refused(conn: Connection, statement: str) -> bool:
    """Whether Postgres denies ``statement`` to this role."""
    with pytest.raises(WarehouseRejected) as caught, conn.begin():
        conn.execute(text(statement))
    return caught.value.kind == "InsufficientPrivilege"


@pytest.mark.parametrize("role", [roles.READER, roles.ALERTS])
def test_everything_can_be_read_but_secrets(database: URL, role: str) -> None:
    with working_as(database, role) as conn:
        for name in {*metadata.tables, *(view.name for view in VIEWS)} - {"outlets"}:
            conn.execute(text(f'table "{name}" limit 1'))
        conn.execute(text("select id, client, kind, url, disabled_why from outlets"))
        conn.rollback()
        for column in ("secret", "previous_secret", "*"):
            assert refused(conn, f"select {column} from outlets")  # noqa: S608


def test_a_partition_made_later_can_be_read(database: URL) -> None:
    async def make() -> None:
        async with await connect(database, application_name="test") as conn:
            await ensure_tick_days(conn, [date(2030, 1, 1)])

    asyncio.run(make())
    with working_as(database, roles.READER) as conn:
        assert conn.execute(text("select count(*) from ticks where day = '2030-01-01'")).scalar_one() == 0


def test_the_reader_cannot_write(database: URL) -> None:
    with working_as(database, roles.READER) as conn:
        for statement in (
            "insert into alert_rules (client) values ('x')",
            "update markets set base = 'x'",
            "delete from ticks",
            "truncate candles",
            "create table mine (id int)",
            "drop table rejects",
        ):
            assert refused(conn, statement)


def test_alerts_are_all_that_the_other_can_write(database: URL) -> None:
    with working_as(database, roles.ALERTS) as conn:
        with conn.begin():
            made = rules.create_rule(conn, WISH)
        with conn.begin():
            assert rules.delete_rule(conn, made.id, client="dashboard")
        for name in sorted({*metadata.tables} - {"alert_rules"}):
            assert refused(conn, f'delete from "{name}"')  # noqa: S608
        assert refused(conn, "update outlets set url = 'http://me'")


def test_a_pool_to_read_only_begins_no_other_transaction(database: URL) -> None:
    with working_as(database, None, read_only=True) as conn, pytest.raises(WarehouseReadOnly):
        conn.execute(text("delete from markets"))


def test_without_the_roles_the_owner_is_used(database: URL) -> None:
    with working_as(database, "coinwatch_absent") as conn:
        assert conn.execute(text("select current_user")).scalar_one() == database.username


def test_an_upgrade_grants_revoked_rights_again(database: URL) -> None:
    with psycopg.connect(conninfo(database)) as owner:
        owner.execute(f"revoke all on all tables in schema public from {roles.READER}, {roles.ALERTS}")
    upgrade(database)
    with working_as(database, roles.ALERTS) as conn, conn.begin():
        conn.execute(text("select * from v_ticks"))
        rules.create_rule(conn, WISH)


def test_tables_created_later_by_dagster_can_be_read(
    settings_for: Callable[..., Settings], database: URL
) -> None:
    name = f"{database.database}_dagster"
    url = database_url(settings_for(), name)
    owner = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with owner.connect() as conn:
            conn.execute(text("create table runs (id int)"))
        with working_as(url, roles.READER, read_only=True) as conn:
            assert conn.execute(text("select current_user")).scalar_one() == roles.READER
            assert conn.execute(text("select count(*) from runs")).scalar_one() == 0
    finally:
        owner.dispose()
        with psycopg.connect(conninfo(database), autocommit=True) as administrator:
            administrator.execute(f"drop database {name} with (force)")


def test_upgrades_work_without_the_right_to_create_roles(empty_database: URL) -> None:
    """And where another owner's roles are on the server, they get nothing."""
    with psycopg.connect(conninfo(empty_database), autocommit=True) as administrator:
        administrator.execute("create role modest login password 'modest'")
        administrator.execute("grant modest to current_user")
        administrator.execute(f"alter database {empty_database.database} owner to modest")
    modest = empty_database.set(username="modest", password="modest")  # noqa: S106
    try:
        assert upgrade(modest)
        with working_as(modest, roles.READER, read_only=True) as conn:
            assert conn.execute(text("select current_user")).scalar_one() == "modest"
            granted = text("select has_table_privilege(:role, 'markets', 'select')")
            assert conn.execute(granted, {"role": roles.READER}).scalar_one() is False
    finally:
        with psycopg.connect(conninfo(empty_database), autocommit=True) as administrator:
            administrator.execute("drop owned by modest cascade")
            administrator.execute(f"alter database {empty_database.database} owner to current_user")
            administrator.execute("drop role modest")
