from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, text

from coinwatch.errors import SettingsError, WarehouseError
from coinwatch.settings import Settings
from tests.waiting import eventually
from warehouse.db.connect import connect, conninfo, database_url, embedded, engine

SettingsFor = Callable[..., Settings]


def test_an_external_server_is_used_as_it_is(settings_for: SettingsFor, database: URL) -> None:
    settings = settings_for()
    assert embedded(settings) is None
    assert database_url(settings) == database


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_every_usual_spelling_means_psycopg(settings_for: SettingsFor, scheme: str) -> None:
    url = database_url(
        settings_for(database_url=f"{scheme}://me:p%40ss@db.example:6543/prices?sslmode=require")
    )
    assert url.drivername == "postgresql+psycopg"
    parts = psycopg.conninfo.conninfo_to_dict(conninfo(url))
    assert parts == {
        "host": "db.example",
        "port": "6543",
        "user": "me",
        "password": "p@ss",
        "dbname": "prices",
        "sslmode": "require",
    }


def test_an_unreadable_url_is_refused_without_being_shown(settings_for: SettingsFor) -> None:
    with pytest.raises(SettingsError, match="COINWATCH_DATABASE_URL: cannot be read") as caught:
        database_url(settings_for(database_url="postgresql://me:secret@host:port:1/x"))
    assert "secret" not in str(caught.value)


def test_another_database_is_made_once(settings_for: SettingsFor, database: URL) -> None:
    settings = settings_for()
    name = f"{database.database}_dagster"
    try:
        with ThreadPoolExecutor(8) as threads:
            urls = list(threads.map(lambda _: database_url(settings, name), range(8)))
        assert set(urls) == {database.set(database=name)}
        with psycopg.connect(conninfo(urls[0])) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (name,)
    finally:
        with psycopg.connect(conninfo(database), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")


def test_without_the_right_to_create_it_the_statement_is_shown(
    settings_for: SettingsFor, database: URL
) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    try:
        guest = database.set(drivername="postgresql", username="guest", password="guest")  # noqa: S106
        settings = settings_for(database_url=guest.render_as_string(hide_password=False))
        with pytest.raises(WarehouseError, match="CREATE DATABASE other OWNER guest"):
            database_url(settings, "other")
    finally:
        with psycopg.connect(conninfo(database), autocommit=True) as connection:
            connection.execute("DROP ROLE guest")


def test_the_embedded_server_is_started_when_asked_for(settings_for: SettingsFor, tmp_path: Path) -> None:
    settings = settings_for(database_url=None, data_dir=tmp_path / "data")
    server = embedded(settings)
    assert server is not None
    assert not server.is_running()
    try:
        url = database_url(settings, "dagster")
        assert url == server.socket_url("dagster")
        with psycopg.connect(conninfo(url)) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("dagster",)
    finally:
        server.stop()


async def test_connections_are_named_and_in_utc(database: URL) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {database.database} SET timezone = 'Asia/Tokyo'")
    async with await connect(database, application_name="test connect") as connection:
        assert connection.autocommit
        cursor = await connection.execute("SELECT current_setting('application_name'), now()")
        row = await cursor.fetchone()
    assert row is not None
    assert row[0] == "test connect"
    assert row[1].utcoffset() == timedelta(0)


async def test_a_refused_connection_names_the_server_not_the_password(database: URL) -> None:
    closed = database.set(host="127.0.0.1", port=1, query={})
    for url in (closed, database.set(database="nowhere")):
        with pytest.raises(WarehouseError, match=f"cannot connect to database {url.database} on ") as caught:
            await connect(url, application_name="test")
        assert str(url.password) not in str(caught.value)
    assert "127.0.0.1 port 1" in str(await _error(closed))


async def _error(url: URL) -> WarehouseError:
    try:
        await connect(url, application_name="test")
    except WarehouseError as error:
        return error
    raise AssertionError("connected")


def test_the_pool_ends_long_statements_and_speaks_utc(database: URL) -> None:
    pool = engine(database, application_name="test pool", statement_timeout_s=0.1)
    try:
        with pool.connect() as connection:
            moment = connection.execute(text("SELECT timestamptz '2026-07-01 12:00:00+02'")).scalar()
            assert moment == datetime(2026, 7, 1, 10, tzinfo=UTC)
            with pytest.raises(WarehouseError, match="statement timeout"):
                connection.execute(text("SELECT pg_sleep(5)"))
    finally:
        pool.dispose()


async def test_cancelled_connects_leave_no_session(database: URL) -> None:
    async def sessions() -> int:
        cursor = await watching.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def nothing_left() -> bool:
        return await sessions() == before

    failed: list[BaseException] = []

    async def stay() -> None:
        try:
            async with await connect(database, application_name="test"):
                await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            failed.append(error)  # a traceback that is kept keeps what its frames hold
            raise

    async with await connect(database, application_name="test") as watching:
        before = await sessions()
        for place in range(20):
            task = asyncio.create_task(stay())
            await asyncio.sleep(place / 2_000)
            task.cancel()
            await asyncio.wait([task])
        await eventually(nothing_left, 3)
    assert failed
