"""A dashboard whose sign-in is not clear does not start, and states why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.dashboard.dashboard_server import run_dashboard
from tests.app.dashboard.serving.provider import AUTH

EVERYWHERE = "0.0.0.0"  # noqa: S104


def toml(section: str) -> str:
    return "\n".join([section, *(f"{name} = {json.dumps(value)}" for name, value in AUTH.items())])


def write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("prepare", "arguments", "settings", "reason"),
    [
        (write(toml("[Auth]")), (), {}, "the section [Auth] is not read"),
        (write(toml("[auth]")[:-1]), (), {}, "Error parsing secrets file"),
        (write("\n".join(toml("[auth]").split("\n")[:-1])), (), {}, "[auth] has no server_metadata_url"),
        (lambda path: None, (), {}, "STREAMLIT_SECRETS_FILES: there is no"),
        (lambda path: path.symlink_to("nothing"), (), {}, "the sign-in cannot be read from"),
        (lambda path: path.mkdir(), (), {}, "the sign-in cannot be read from"),
        (None, (), {"COINWATCH_DASHBOARD_LOGIN": "required"}, "there is no section [auth] in"),
        (None, (), {"COINWATCH_DASHBOARD_LOGIN": "no"}, "COINWATCH_DASHBOARD_LOGIN: Input should be"),
        (None, ("--server.address", EVERYWHERE), {}, "would listen on 0.0.0.0 without a sign-in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_dashboard_with_an_unclear_sign_in_does_not_start(
    prepare: Callable[[Path], object] | None,
    arguments: tuple[str, ...],
    settings: dict[str, str],
    reason: str,
    tmp_path: Path,
) -> None:
    secrets = tmp_path / "secrets.toml"
    if prepare is not None:
        prepare(secrets)
        settings = settings | {"STREAMLIT_SECRETS_FILES": str(secrets)}
    ended = run_dashboard(tmp_path, *arguments, **settings)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("coinwatch: the dashboard did not start: ")
    assert reason in line
    assert ended.stdout == ""
    assert "shared" not in line
