"""Migrations create the tables of warehouse.tables, once, even with several processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, text

from coinwatch.errors import WarehouseError
from tests.conftest import PROJECT
from warehouse import views
from warehouse.db import migrate
from warehouse.db.client_programs import environment, place
from warehouse.db.connect import engine
from warehouse.db.migrate import upgrade
from warehouse.embedded.programs import program
from warehouse.tables import metadata

UPGRADE = """
import sys
import sqlalchemy
from warehouse.db.migrate import upgrade
print(len(upgrade(sqlalchemy.make_url(sys.stdin.read()))))
"""


@pytest.fixture
def pool(database: URL) -> Iterator[sqlalchemy.Engine]:
    pool = engine(database, application_name="test")
    yield pool
    pool.dispose()


def schema(url: URL) -> list[str]:
    """The schema from pg_dump, statement by statement."""
    dumped = subprocess.run(
        [
            *(str(program("pg_dump")), "--schema-only", "--no-privileges", "--no-owner"),
            *("--restrict-key=same", f"--dbname={place(url)}"),
        ],
        env=environment(url),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = (line for line in dumped.splitlines() if line and not line.startswith("--"))
    return sorted(re.split(r"(?<=;)\n", "\n".join(lines)))


def test_alembic_sees_no_difference(pool: sqlalchemy.Engine) -> None:
    with pool.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_pg_dump_sees_no_difference(database: URL, empty_database: URL) -> None:
    pool = engine(empty_database, application_name="test")
    with pool.begin() as connection:
        metadata.create_all(connection)
        views.create(connection)
    pool.dispose()
    migrated = [statement for statement in schema(database) if "alembic_version" not in statement]
    assert len(migrated) > 20
    assert migrated == schema(empty_database)


def test_has_its_one_row(pool: sqlalchemy.Engine) -> None:
    with pool.connect() as connection:
        assert connection.execute(text("TABLE alert_counter")).all() == [(True, 0)]


def test_is_idempotent(empty_database: URL) -> None:
    applied = upgrade(empty_database)
    assert applied[0] == "0001"
    assert upgrade(empty_database) == []


@pytest.mark.parametrize("release", ["0001", "0003", "0009", "0011"])
def test_upgrades_from_an_earlier_release(database: URL, empty_database: URL, release: str) -> None:
    pool = engine(empty_database, application_name="test")
    with pool.begin() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, release)
        connection.execute(
            text(
                "INSERT INTO markets (exchange, symbol, base, quote, native) "
                "VALUES ('x', 'A-B', 'A', 'B', '')"
            )
        )
    assert upgrade(empty_database)[0] > release
    assert schema(empty_database) == schema(database)
    with pool.connect() as connection:
        assert connection.execute(text("SELECT symbol FROM markets")).all() == [("A-B",)]
    pool.dispose()


def test_several_processes_at_once(empty_database: URL) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin
        process.stdin.write(empty_database.render_as_string(hide_password=False))
        process.stdin.close()
    counts = []
    for process in started:
        assert process.stdout
        counts.append(int(process.stdout.read()))
        process.stdout.close()
        assert process.wait(60) == 0
    assert sorted(counts)[:2] == [0, 0]
    assert sorted(counts)[2] >= 1


def test_refuses_a_database_of_a_newer_release(database: URL, pool: sqlalchemy.Engine) -> None:
    with pool.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WarehouseError, match="revision 9999, which this release does not know"):
        upgrade(database)


def test_names_the_server_that_cannot_be_reached(database: URL) -> None:
    with pytest.raises(WarehouseError, match="cannot connect to database nowhere") as caught:
        upgrade(database.set(database="nowhere"))
    assert str(database.password) not in str(caught.value)


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.name)
def test_views_are_described(pool: sqlalchemy.Engine, view: views.View) -> None:
    with pool.connect() as connection:
        inspector = sqlalchemy.inspect(connection)
        columns = {column["name"]: column["comment"] for column in inspector.get_columns(view.name)}
        comment = connection.execute(text(f"SELECT obj_description('{view.name}'::regclass)")).scalar()
    assert columns == dict(view.columns)
    assert comment == view.meaning
