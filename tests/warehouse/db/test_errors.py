"""Errors of Postgres leave the warehouse as errors of Coinwatch."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL

from coinwatch.errors import (
    WarehouseError,
    WarehouseFull,
    WarehouseReadOnly,
    WarehouseRejected,
    WarehouseSlow,
    WarehouseUnavailable,
)
from warehouse.db.connect import connect, engine, session
from warehouse.db.errors import deadline, reason, translate, warehouse_errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("the connection is lost"), WarehouseUnavailable),
        (psycopg.InterfaceError("the connection is closed"), WarehouseUnavailable),
        (psycopg.errors.DeadlockDetected("deadlock detected"), WarehouseUnavailable),
        (psycopg.errors.QueryCanceled("canceling statement"), WarehouseSlow),
        (psycopg.errors.DiskFull("could not extend file"), WarehouseFull),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), WarehouseReadOnly),
        (psycopg.errors.UndefinedTable("no such table"), WarehouseRejected),
    ],
)
def test_errors_of_postgres_are_classified(error: Exception, kind: type[WarehouseError]) -> None:
    with pytest.raises(WarehouseError) as caught, warehouse_errors():
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    error = ValueError("no price")
    assert translate(error) is error
    with pytest.raises(ValueError, match="no price"), warehouse_errors():
        raise error


def test_errors_inside_groups_are_translated() -> None:
    group = ExceptionGroup("tasks", [ValueError("a"), ExceptionGroup("b", [psycopg.OperationalError("c")])])
    with pytest.raises(ExceptionGroup) as caught, warehouse_errors():
        raise group
    unavailable, others = caught.value.split(WarehouseUnavailable)
    assert unavailable is not None
    assert others is not None
    assert others.exceptions == (group.exceptions[0],)


def test_reasons_are_one_line_without_the_server() -> None:
    error = psycopg.OperationalError(
        'connection to server at "10.0.0.7", port 5432 failed: FATAL:  role "guest" is locked\nsecond line'
    )
    assert reason(error) == 'role "guest" is locked'


async def test_sessions_translate_errors(database: URL) -> None:
    with pytest.raises(WarehouseRejected, match="nowhere") as caught:
        async with session(database, application_name="test") as conn:
            await conn.execute("select from nowhere")
    assert caught.value.kind == "UndefinedTable"


async def test_deadlines_end_slow_statements(database: URL) -> None:
    async with await connect(database, application_name="test") as conn:
        with pytest.raises(WarehouseSlow, match=r"within 0\.05 s"):
            async with deadline(0.05):
                await conn.execute("select pg_sleep(5)")


async def test_deadlines_translate_lost_sockets() -> None:
    with pytest.raises(WarehouseUnavailable):
        async with deadline(5):
            raise ConnectionResetError
    with pytest.raises(asyncio.CancelledError):
        async with deadline(5):
            raise asyncio.CancelledError


def test_engines_translate_errors(database: URL) -> None:
    pool = engine(database, application_name="test", statement_timeout_s=0.1)
    try:
        with pool.connect() as conn:
            with pytest.raises(WarehouseSlow, match="statement timeout"):
                conn.execute(sqlalchemy.text("select pg_sleep(5)"))
            conn.rollback()
            with pytest.raises(WarehouseRejected) as caught:
                conn.execute(sqlalchemy.text("select from nowhere"))
    finally:
        pool.dispose()
    assert caught.value.kind == "UndefinedTable"


def test_engines_report_unreachable_servers(database: URL) -> None:
    pool = engine(database.set(database="nowhere"), application_name="test")
    with pytest.raises(WarehouseUnavailable, match="cannot connect to database nowhere") as caught:
        pool.connect()
    assert caught.value.reason == 'database "nowhere" does not exist'
