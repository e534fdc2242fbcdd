"""``coinwatch db``: each command prints one line, or JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from app.cli.commands.db import db
from coinwatch.errors import WarehouseError
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
    masked = run("url")
    assert server.is_running()
    assert masked == f"postgresql://coinwatch:***@127.0.0.1:{server.url().port}/coinwatch"
    shown = run("url", "--show-password")
    with psycopg.connect(shown) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    assert run("upgrade").startswith("Upgraded the schema: 0001")
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


def test_server_named_by_url_is_not_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(WarehouseError, match="only the embedded server"):
        run("stop")
    assert run("url") == "postgresql://me:***@127.0.0.1:1/x"
    assert not folder.exists()
    with pytest.raises(WarehouseError, match=r"on 127\.0\.0\.1 port 1: ") as caught:
        run("upgrade")
    assert "secret" not in str(caught.value)
