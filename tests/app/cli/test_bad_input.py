"""Errors of the command line: a line that names the cause and the remedy, or a JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from app.cli.demo import demo_environment, demo_overrides
from coinwatch.settings import load_settings
from tests.app.cli.processes import call_coinwatch, run_coinwatch

NOWHERE = {"COINWATCH_DATABASE_URL": "postgresql://someone:hunter2@127.0.0.1:1/coinwatch"}
WATCH_NOWHERE = ["watch", "BTC-USDT", "--above", "1", "--url", "ws://127.0.0.1:1/ws"]


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            ["ingest", "--markets", "mtgox:btcusd"],
            {},
            "unknown exchange; known are binance, coinbase, kraken",
        ),
        (["ingest", "--markets", "btcusd"], {}, "write it like binance:BTC-USDT"),
        (["alerts"], {"COINWATCH_ALERTS_PORT": "ninety"}, "COINWATCH_ALERTS_PORT"),
        (["status"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["db", "upgrade"], NOWHERE, "correct COINWATCH_DATABASE_URL"),
        (["db", "stop"], NOWHERE, "only the embedded server can be stopped"),
        (["db", "upgrade"], {"COINWATCH_DATABASE_URL": "mysql://x"}, "must start with postgresql://"),
    ],
)
def test_error_is_printed_on_a_single_line(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    assert_single_line(call_coinwatch(tmp_path, *arguments, **environment), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest"], "correct COINWATCH_DATABASE_URL"),
        (["alerts"], "correct COINWATCH_DATABASE_URL"),
        (WATCH_NOWHERE, "cannot reach the alert endpoint"),
    ],
)
def test_error_of_a_process_is_a_single_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert_single_line(run_coinwatch(tmp_path, *arguments, **NOWHERE), message)


def assert_single_line(result: CompletedProcess[str], message: str) -> None:
    """It failed with one line that names the cause, and without the password."""
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "hunter2" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        (["db", "upgrade"], NOWHERE, ("warehouse_unavailable", None, True)),
        (["status"], {"COINWATCH_ALERTS_PORT": "ninety"}, ("settings_error", None, False)),
        (WATCH_NOWHERE, {}, ("endpoint_unreachable", None, True)),
    ],
)
def test_error_is_json_with_json_option(
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
    error: tuple[str, str | None, bool],
) -> None:
    run = run_coinwatch if arguments == WATCH_NOWHERE else call_coinwatch
    result = run(tmp_path, *arguments, "--json", **environment)
    report = json.loads(result.stderr)
    assert (result.returncode, result.stdout) == (1, "")
    assert (report["error"], report["hint"], report["retryable"]) == error
    assert report["message"]
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["db", "backup"], "Missing argument", "coinwatch db backup --help"),
        (["status", "--unknown"], "No such option: --unknown", "coinwatch status --help"),
        (["token", "not a name"], "NAME is 1 to 64 letters", "coinwatch token --help"),
    ],
)
def test_usage_error_is_json_with_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str, hint: str
) -> None:
    result = call_coinwatch(tmp_path, *arguments, "--json")
    report = json.loads(result.stderr)
    assert (result.returncode, result.stdout) == (2, "")
    assert (report["error"], report["retryable"]) == ("usage_error", False)
    assert message in report["message"]
    assert hint in report["hint"]


def test_status_without_services_names_the_start_command(tmp_path: Path) -> None:
    result = call_coinwatch(tmp_path, "status")
    assert result.returncode == 1
    assert "not running" in result.stdout
    assert "coinwatch up" in result.stdout
    assert not (tmp_path / "data").exists()


def test_demo_settings_differ_in_addresses_and_data_folder(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path,
        simulator_ws_port=7001,
        simulator_rest_port=7002,
        database_url="postgresql://someone@elsewhere/live",
    )
    demo = load_settings(**demo_overrides(settings))
    assert demo.database_url is None
    assert demo.data_dir == tmp_path / "demo"
    for exchange in demo.exchanges():
        assert demo.ws_url(exchange) == f"ws://127.0.0.1:7001/{exchange}"
        assert demo.rest_url(exchange) == f"http://127.0.0.1:7002/{exchange}"
    changed = {name.removeprefix("COINWATCH_").lower() for name in demo_environment(settings)}
    same = set(type(settings).model_fields) - changed - {"simulator_ws_port", "simulator_rest_port"}
    assert all(getattr(demo, name) == getattr(load_settings(), name) for name in same)
