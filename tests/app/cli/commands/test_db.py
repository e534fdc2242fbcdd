"""``coinwatch db``: each command prints one line, or JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from app.cli.commands.db import db
from app.cli.exit_codes import ExitCode
from app.cli.main import app
from coinwatch.errors import WarehouseError
from coinwatch.settings import load_settings
from tests.app.cli.processes import call_coinwatch, run_coinwatch
from warehouse.db import client_programs
from warehouse.db.connect import database_url
from warehouse.embedded.server import EmbeddedPostgres


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder; its server is stopped after the test."""
    for name in os.environ:
        if name.startswith("COINWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COINWATCH_DATA_DIR", str(tmp_path / "data"))
    yield tmp_path / "data"
    EmbeddedPostgres(tmp_path / "data" / "postgres").stop()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(db, arguments)
    if result.exception:
        raise result.exception
    assert result.output.count("\n") == 1
    return result.output.strip()


def test_upgrade_backup_and_restore(folder: Path, tmp_path: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres")
    assert run("upgrade").startswith("Upgraded the schema: 0001")
    masked = run("url")
    assert server.is_running()
    assert masked == f"postgresql://coinwatch:***@127.0.0.1:{server.url().port}/coinwatch"
    shown = run("url", "--show-password")
    with psycopg.connect(shown) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    assert run("upgrade") == "The schema is up to date"
    file = tmp_path / "all.dump"
    assert run("backup", str(file)) == f"Wrote {file} (0.1 MB)"
    with psycopg.connect(shown) as connection:
        connection.execute(
            "INSERT INTO alert_rules (client, base, quote, typed, condition) "
            "VALUES ('me', 'BTC', 'USDT', 'btcusdt', '{}')"
        )
    with pytest.raises(WarehouseError, match="already holds alert rules"):
        run("restore", str(file))
    assert run("restore", str(file), "--replace") == f"Restored {file}"

    assert run("stop") == f"Stopped Postgres in {server.folder}"
    assert not server.is_running()
    assert run("stop") == f"Postgres was not running in {server.folder}"


def test_psql_is_given_the_password_in_no_argument(folder: Path, tmp_path: Path) -> None:
    """By a stand-in for psql that prints its arguments, then by the psql of the embedded server."""
    database_url(load_settings())
    password = EmbeddedPostgres(folder / "postgres").url().password
    stand_in = tmp_path / "bin" / "psql"
    stand_in.parent.mkdir()
    if setpriv := shutil.which("setpriv"):  # which root needs for the server
        (stand_in.parent / "setpriv").symlink_to(setpriv)
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "password=$PGPASSWORD"\n')
    stand_in.chmod(0o755)
    arguments = ("db", "psql", "--", "-At", "-c", "select current_user")
    shown = run_coinwatch(tmp_path, *arguments, PATH=str(stand_in.parent)).stdout.splitlines()
    assert shown[1:] == ["-At", "-c", "select current_user", f"password={password}"]
    assert "dbname=coinwatch" in shown[0]
    assert str(password) not in " ".join(shown[:-1])

    stand_in.unlink()
    answer = run_coinwatch(tmp_path, *arguments, PATH=str(stand_in.parent))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "coinwatch\n", "")
    failed = run_coinwatch(tmp_path, "db", "psql", "--", "-c", "select nothing")
    assert failed.returncode == 1
    assert 'column "nothing" does not exist' in failed.stderr


def test_a_password_in_the_query_of_a_url_is_in_no_argument() -> None:
    url = make_url("postgresql://me@127.0.0.1:1/x?password=hunter2&sslmode=require")
    assert client_programs.place(url) == "host=127.0.0.1 port=1 user=me dbname=x sslmode=require"
    assert client_programs.environment(url)["PGPASSWORD"] == "hunter2"


@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "url"),
        ("db", "psql"),
        ("db", "backup", "x.dump"),
        ("outlets", "list"),
        ("outlets", "deliveries"),
        ("outlets", "remove", "1"),
        ("status",),
    ],
)
def test_a_reader_creates_no_database(folder: Path, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert re.search("no database in|no PostgreSQL in", f"{result.exception}{result.output}")
    assert not folder.exists()


def test_a_missing_database_is_reported_as_json(folder: Path, tmp_path: Path) -> None:
    answer = call_coinwatch(tmp_path, "db", "url", "--json")
    assert answer.returncode == ExitCode.FAILED
    assert json.loads(answer.stderr) == {
        "error": "no_database",
        "message": f"there is no database in {folder}",
        "hint": "start Coinwatch with: coinwatch up",
        "retryable": True,
    }


def test_server_named_by_url_is_not_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(WarehouseError, match="only the embedded server"):
        run("stop")
    assert run("url") == "postgresql://me:***@127.0.0.1:1/x"
    assert not folder.exists()
    with pytest.raises(WarehouseError, match=r"on 127\.0\.0\.1 port 1: ") as caught:
        run("upgrade")
    assert "secret" not in str(caught.value)
