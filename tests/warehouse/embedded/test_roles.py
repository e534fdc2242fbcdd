"""The role that every program connects as: it owns its databases, and is no superuser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.errors import WarehouseError
from tests.warehouse.embedded.servers import FAST, MakeServer, ask, make_folder_of_0_1
from warehouse.db import roles as service_roles
from warehouse.db.connect import conninfo
from warehouse.db.migrate import upgrade
from warehouse.embedded import roles
from warehouse.embedded.server import EmbeddedPostgres

ROLES_SINCE_0_2 = sorted({*service_roles.ROLES} - {service_roles.READER, service_roles.ALERTS})
NOT_OWNED = """
    select count(*) from pg_class
    where relnamespace = 'public'::regnamespace
      and pg_get_userbyid(relowner) not in ('coinwatch', 'coinwatch_partitions')
"""


def run(url: URL, *statements: str) -> None:
    with psycopg.connect(conninfo(url), autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A stopped server of version 0.1 with a warehouse, a Dagster database and an object of each kind."""
    make_folder_of_0_1(tmp_path / "postgres")
    server = EmbeddedPostgres(tmp_path / "postgres", FAST)
    server.start()
    try:
        assert ask(server.url(), "select rolsuper from pg_roles where rolname = current_user")
        upgrade(server.url())
        run(server.url(), "create database dagster")
        run(
            server.url(),
            "insert into leases values ('kept', 'me', now())",
            "create schema mine",
            "create table mine.notes (id int generated always as identity, at serial, word text)",
            "create sequence numbers",
            "create type direction as enum ('up', 'down')",
            "create type pair as (base text, quote text)",
            "create domain percent as float8 check (value <= 100)",
            "create function twice(int) returns int language sql return $1 * 2",
            "create materialized view counted as select count(*) from markets",
        )
        run(server.url("dagster"), "create table runs (id int primary key)", "insert into runs values (7)")
        upgrade(server.url())  # lets the dashboard read Dagster's tables
        for database in ("dagster", "coinwatch"):
            run(
                server.url(database),
                f"reassign owned by {service_roles.PARTITIONS} to coinwatch",
                f"drop owned by {', '.join(ROLES_SINCE_0_2)}",
            )
        run(server.url(), f"drop role {', '.join(ROLES_SINCE_0_2)}")
        server.stop()
        (server.folder / "roles").unlink()
        yield server
    finally:
        server.stop()


def check_converted(server: EmbeddedPostgres) -> None:
    for database in ("coinwatch", "dagster"):
        assert ask(server.url(database), NOT_OWNED) == 0
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        assert ask(server.url(database), owner) == "coinwatch"
    attributes = (
        "select rolsuper or rolreplication or rolbypassrls from pg_roles where rolname = current_user"
    )
    assert ask(server.url(), attributes) is False
    assert ask(
        server.administrator_url(), "select array_agg(rolname::text) from pg_roles where rolsuper"
    ) == ["postgres"]
    assert ask(server.url(), "select holder from leases where name = 'kept'") == "me"
    assert ask(server.url("dagster"), "select id from runs") == 7


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to program 'true'",
        "copy markets from program 'echo'",
        "copy markets from '/etc/passwd'",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "select lo_import('/etc/passwd')",
        "create function f() returns int as '/lib/x86_64-linux-gnu/libc.so.6', 'system' language c",
        "grant pg_execute_server_program to coinwatch",
        "alter role coinwatch superuser",
        "set role postgres",
        "alter system set archive_command = 'true'",
    ],
)
def test_the_role_reaches_neither_files_nor_programs(database: URL, statement: str) -> None:
    if database.username != roles.ROLE:
        pytest.skip("not the embedded server")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(database, statement)


def test_a_server_of_0_1_is_converted_at_its_next_start(old: EmbeddedPostgres) -> None:
    old.start()
    check_converted(old)
    upgrade(old.url())
    assert ask(old.url(), "select pg_get_userbyid(relowner) from pg_class where relname = 'ticks'") == (
        service_roles.PARTITIONS
    )
    run(
        old.url(),
        "drop schema mine cascade",
        "drop sequence numbers",
        "drop type direction, pair",
        "drop domain percent",
        "drop function twice",
        "refresh materialized view counted",
        "create role another",
    )
    for database in ("coinwatch", "dagster"):
        tables = "markets" if database == "coinwatch" else "runs"
        with psycopg.connect(conninfo(old.url(database))) as conn:
            service_roles.take_on(conn, service_roles.READER)
            assert conn.execute("select current_user").fetchone() == (service_roles.READER,)
            conn.execute(f"select from {tables}")
    old.stop()
    (old.folder / "roles").unlink()
    old.start()
    check_converted(old)


def test_an_interrupted_conversion_is_repeated(
    old: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(roles, "_GIVE", "select 1 / 0")
        with pytest.raises(WarehouseError, match="roles of the embedded Postgres cannot be set up: division"):
            old.start()
    old.start()
    check_converted(old)


def test_an_old_server_that_still_runs_is_converted(old: EmbeddedPostgres) -> None:
    marker = old.folder / "roles"
    marker.touch()
    old.start()
    with psycopg.connect(conninfo(old.url())) as earlier:
        marker.unlink()
        old.start()
        check_converted(old)
        assert earlier.execute("select count(*) from markets").fetchone() == (0,)


def test_a_conversion_waits_only_briefly_for_an_old_program(
    old: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "_WAIT_FOR_OTHERS", "200ms")
    marker = old.folder / "roles"
    marker.touch()
    old.start()
    with psycopg.connect(conninfo(old.url())) as earlier:
        earlier.execute("select from markets")
        marker.unlink()
        with pytest.raises(WarehouseError, match="earlier version of Coinwatch runs: stop that first"):
            old.start()
    old.start()
    check_converted(old)


def test_passwords_are_private_and_not_in_the_log(make_server: MakeServer) -> None:
    server = make_server(new=True, log_statement="all")
    server.start()
    log = (server.folder / "log").read_text()
    assert "alter role" in log
    for name in ("password", "administrator_password"):
        file = server.folder / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().strip() not in log
