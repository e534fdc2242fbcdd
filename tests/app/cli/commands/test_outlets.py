"""``coinwatch outlets``, against a real database."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from app.cli.main import app
from coinwatch.errors import SettingsError
from tests.warehouse.service_logins import login
from warehouse.db import roles


@pytest.fixture(autouse=True)
def _settings(database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "COINWATCH_DATABASE_URL",
        login(database, roles.ENDPOINT).set(drivername="postgresql").render_as_string(hide_password=False),
    )
    monkeypatch.setenv("COINWATCH_DATA_DIR", str(tmp_path))


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["outlets", *arguments], input=stdin)


def test_life_of_a_webhook(tmp_path: Path) -> None:
    secret_file, other = tmp_path / "hook.secret", tmp_path / "other.secret"
    added = run("add", "bot", "https://example.org/hook?token=hidden", "--secret-file", str(secret_file))
    assert added.exit_code == 0
    assert "Outlet 1: alerts of bot are delivered to https://example.org/… from now on" in added.output
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    secret = secret_file.read_text().strip()
    rotated = run("rotate", "1", "--secret-file", str(other))
    assert rotated.exit_code == 0
    listed = run("list")
    assert "example.org" in listed.output
    for result in (added, rotated, listed):
        assert "hidden" not in result.output
        assert secret not in result.output
        assert other.read_text().strip() not in result.output
    assert run("enable", "1").exit_code == 0
    assert "0 deliveries" in run("resend", "1").output
    assert run("deliveries", "--dead").exit_code == 0
    assert run("remove", "1").exit_code == 0
    assert isinstance(run("remove", "1").exception, SettingsError)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_url_is_read_from_stdin() -> None:
    added = run("add", "bot", "-", stdin="json://hidden.example.org/path\n")
    assert added.exit_code == 0, added.exception
    assert "json://…" in added.output
    assert "hidden" not in added.output + run("list").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bot", "https://example.org/"), "--secret-file"),
        (("no good", "https://example.org/", "--secret-file", "x"), "CLIENT is a name"),
        (("bot", "http://10.0.0.1/", "--secret-file", "x"), "private address"),
        (("bot", "https://", "--secret-file", "x"), "not a URL"),
        (("bot", "https://example.org/", "--secret-file", "/dev/null"), "not a secret"),
        (("bot", "https://example.org/", "--secret-file", "/nowhere/x"), "cannot write"),
        (("bot", "unknown"), "no service"),
    ],
)
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_invalid_outlet_is_refused(arguments: tuple[str, ...], message: str) -> None:
    refused = run("add", *arguments)
    assert refused.exit_code != 0
    assert message in refused.output + str(refused.exception)
