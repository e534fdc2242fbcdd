"""The command as a whole: version, completion, exit codes, and options that every command has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from app.cli.exit_codes import ExitCode
from app.cli.main import app
from app.cli.shapes import Config, Token
from tests.app.cli.processes import call_coinwatch

SERVICES = {"up", "ingest", "alerts", "simulate"}
"""Commands that print logs: COINWATCH_LOG_FORMAT=json makes them JSON."""
WITHOUT_DATA = {"simulate", "token"}
"""Commands that neither read nor write data."""
INTERACTIVE = {"db psql"}
"""Commands that are replaced by another program, whose output it is."""


def command_names(group: typer.Typer = app, prefix: str = "") -> Iterator[str]:
    for command in group.registered_commands:
        yield prefix + (command.name or command.callback.__name__)  # type: ignore[union-attr]
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from command_names(inner.typer_instance, f"{inner.typer_instance.info.name} ")


@pytest.mark.parametrize("name", list(command_names()))
def test_every_command_has_json_and_demo_options(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"]).output
    options = set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE))
    assert ("--json" in options) == (name not in SERVICES | INTERACTIVE)
    assert ("--demo" in options) == (name not in WITHOUT_DATA)


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"coinwatch {version('coinwatch')}\n"


def test_help_lists_every_exit_code() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    for code in ExitCode:
        assert re.search(rf"^ +{code.value} +{re.escape(code.meaning)}$", shown, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_available(shell: str) -> None:
    variables = {"_COINWATCH_COMPLETE": f"source_{shell}"}
    shown = CliRunner().invoke(app, [], prog_name="coinwatch", env=variables)
    assert (shown.exit_code, "coinwatch" in shown.output) == (0, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder to another user")
def test_root_installs_no_completion_for_another_user(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").touch()
    os.chown(tmp_path, 1, 1)
    answer = call_coinwatch(tmp_path, "--install-completion", HOME=str(tmp_path), SHELL="/bin/bash")
    assert answer.returncode == 1
    assert "another user's folder: run this as that user" in answer.stderr
    assert (tmp_path / ".bashrc").read_text() == ""


def test_token_as_json() -> None:
    shown = CliRunner().invoke(app, ["token", "alice", "--json"])
    token = msgspec.json.decode(shown.output, type=Token)
    assert token.entry.startswith("alice:")
    assert token.token not in token.entry


def test_config_show_masks_secrets_and_names_origins(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.chdir(folder)
    (folder / "coinwatch.toml").write_text('coingecko_api_key = "hunter2"\ndagster_port = 3001\n')
    (folder / ".env").write_text(f"COINWATCH_ALERTS_TOKENS=alice:{'ab' * 32}\n")
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://u:hunter2@h/d?password=hunter2")
    shown = CliRunner().invoke(app, ["config", "show", "--json"])
    settings = {row.name: row for row in msgspec.json.decode(shown.output, type=Config).settings}
    assert (settings["dagster_port"].value, settings["dagster_port"].origin) == (
        3001,
        str(folder / "coinwatch.toml"),
    )
    assert (settings["alerts_tokens"].value, settings["alerts_tokens"].origin) == ({"alice": "***"}, ".env")
    assert settings["database_url"].value == "postgresql://u:***@h/d?password=***"
    assert settings["database_url"].origin == "environment"
    assert settings["coingecko_api_key"].value == "***"
    assert settings["history_days"].origin == "default"
    text = CliRunner().invoke(app, ["config", "show"]).output
    assert "hunter2" not in shown.output + text
    assert "ab" * 32 not in shown.output + text
    assert re.search(r"COINWATCH_DAGSTER_PORT +3001 ", text)


def test_config_show_of_the_demo_names_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINWATCH_DATA_DIR", raising=False)
    shown = CliRunner().invoke(app, ["config", "show", "--demo", "--json"])
    settings = {row.name: row for row in msgspec.json.decode(shown.output, type=Config).settings}
    assert settings["data_dir"].value.endswith("/demo")
    assert (settings["data_dir"].origin, settings["database_url"].value) == ("demo", None)
