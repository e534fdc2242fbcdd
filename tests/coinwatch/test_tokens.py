"""Tokens: made, hashed, set."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from coinwatch.errors import SettingsError
from coinwatch.settings import load_settings
from coinwatch.tokens import LONGEST_TOKEN, new_token, token_hash


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COINWATCH_ALERTS_TOKENS", raising=False)


def test_tokens_are_all_different_and_of_a_known_kind() -> None:
    made = {new_token() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(token.startswith("coinwatch_") and 50 < len(token) < LONGEST_TOKEN for token in made)
    assert token_hash("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_the_command_prints_a_token_and_the_line_for_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["token", "alice"])
    token_line, setting_line = result.stdout.splitlines()
    token = token_line.removeprefix("COINWATCH_TOKEN=")
    name, _, setting = setting_line.partition("=")
    monkeypatch.setenv(name, f"{setting}, bob:{'0' * 64},")
    assert load_settings().alerts_tokens == (("alice", token_hash(token)), ("bob", "0" * 64))
    assert CliRunner().invoke(app, ["token", "a b"]).exit_code == 2


@pytest.mark.parametrize("value", ["coinwatch_secret", "alice", "alice:coinwatch_secret", f"a/b:{'0' * 64}"])
def test_a_wrong_line_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_ALERTS_TOKENS", f"bob:{'0' * 64},{value}")
    with pytest.raises(SettingsError, match=r"COINWATCH_ALERTS_TOKENS: entry 2 is not name:hash") as refused:
        load_settings()
    assert "secret" not in str(refused.value)
