"""What goes wrong on the command line is one line that names the thing and the remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.commands.up import check_ports
from app.cli.runner.parts import demo_environment, demo_settings
from coinwatch.errors import SettingsError
from coinwatch.settings import load_settings

COINWATCH = str(Path(sys.executable).parent / "coinwatch")
NOWHERE = {"COINWATCH_DATABASE_URL": "postgresql://someone:hunter2@127.0.0.1:1/coinwatch"}


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COINWATCH_")}
    return subprocess.run(
        [COINWATCH, *arguments],
        cwd=folder,
        env={**clean, "COINWATCH_DATA_DIR": str(folder / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (
            ["ingest", "--markets", "mtgox:btcusd"],
            {},
            "unknown exchange; known are binance, coinbase, kraken",
        ),
        (["ingest", "--markets", "btcusd"], {}, "write it like binance:BTC-USDT"),
        (["alerts"], {"COINWATCH_ALERTS_PORT": "ninety"}, "COINWATCH_ALERTS_PORT"),
        (["ingest"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["alerts"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["status"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["db", "upgrade"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["db", "stop"], NOWHERE, "not ours to stop"),
        (["db", "upgrade"], {"COINWATCH_DATABASE_URL": "mysql://x"}, "must start with postgresql://"),
        (
            ["watch", "BTC-USDT", "--above", "1", "--url", "ws://127.0.0.1:1/ws"],
            {},
            "cannot reach the alert endpoint",
        ),
    ],
)
def test_one_line_and_a_failing_exit_code(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    answer = run(tmp_path, *arguments, **environment)
    assert answer.returncode == 1
    assert says in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "hunter2" not in answer.stdout + answer.stderr


def test_status_of_nothing_says_how_to_start(tmp_path: Path) -> None:
    answer = run(tmp_path, "status")
    assert answer.returncode == 1
    assert "not running" in answer.stdout
    assert "coinwatch up" in answer.stdout
    assert not (tmp_path / "data").exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_busy_port_is_named_with_its_setting(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=rf"port {taken_port} is in use \(COINWATCH_DAGSTER_PORT\)"):
        check_ports("127.0.0.1", {"COINWATCH_DAGSTER_PORT": taken_port})


def test_the_demo_is_the_same_settings_with_other_addresses(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path,
        simulator_ws_port=7001,
        simulator_rest_port=7002,
        database_url="postgresql://someone@elsewhere/live",
    )
    demo = demo_settings(settings)
    assert demo.database_url is None
    assert demo.data_dir == tmp_path / "demo"
    for exchange in demo.exchanges():
        assert demo.ws_url(exchange) == f"ws://127.0.0.1:7001/{exchange}"
        assert demo.rest_url(exchange) == f"http://127.0.0.1:7002/{exchange}"
    changed = {name.removeprefix("COINWATCH_").lower() for name in demo_environment(settings)}
    same = set(type(settings).model_fields) - changed - {"simulator_ws_port", "simulator_rest_port"}
    assert all(getattr(demo, name) == getattr(load_settings(), name) for name in same)
