"""What the stack listens on, and what is printed of ports without a login."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import pytest

from app.cli.runner.listeners import Listener, check_ports, listeners, open_ports
from coinwatch.errors import SettingsError
from coinwatch.settings import Settings

ANY = "0.0.0.0"  # noqa: S104
LONG = "t" * 24
HASH = "alice:" + "0" * 64


def stack(**settings: object) -> list[Listener]:
    return listeners(Settings(_env_file=None, **settings), demo=True)  # type: ignore[arg-type]  # by name


def test_address_of_alerts_moves_no_other_part() -> None:
    moved = stack(host=ANY, alerts_tokens=HASH)
    assert [port.part for port in moved if port.host != "127.0.0.1"] == ["alerts"]
    assert open_ports(moved) == []


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("ingest", {"metrics_host": ANY}),
        ("alerts", {"host": ANY, "alerts_open": True}),
        ("dashboard", {"dashboard_host": ANY, "dashboard_login": "off"}),
        ("dagster", {"dagster_host": ANY}),
        ("simulator", {"simulator_host": ANY}),
    ],
)
def test_part_beyond_loopback_without_a_login_is_named(part: str, settings: dict[str, object]) -> None:
    sentences = open_ports(stack(**settings))
    assert {name for name, _ in sentences} == {part}
    host = f"COINWATCH_{next(iter(settings)).upper()}"
    assert all(f"listens on {ANY}, port" in text and f"({host})" in text for _, text in sentences)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": ANY},
        {"host": ANY, "alerts_tokens": HASH},
        {"dashboard_host": ANY, "dashboard_login": "required"},
        {"dagster_host": ANY, "dagster_token": LONG},
    ],
)
def test_parts_on_loopback_or_with_a_login_are_not_named(settings: dict[str, object]) -> None:
    assert open_ports(stack(**settings)) == []


def test_simulator_is_part_of_the_demo_only() -> None:
    live = listeners(Settings(_env_file=None), demo=False)
    assert [port.part for port in live] == ["ingest", "alerts", "dashboard", "dagster"]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_port_in_use_is_named_with_its_setting(taken_port: int) -> None:
    dagster = next(port for port in stack(dagster_port=taken_port) if port.part == "dagster")
    with pytest.raises(SettingsError, match=rf"port {taken_port} is in use \(COINWATCH_DAGSTER_PORT\)"):
        check_ports([dagster])


def test_foreign_address_is_named_with_its_setting() -> None:
    dashboard = next(port for port in stack() if port.part == "dashboard")
    with pytest.raises(SettingsError, match=r"cannot listen on 192.0.2.1 \(COINWATCH_DASHBOARD_HOST\)"):
        check_ports([msgspec.structs.replace(dashboard, host="192.0.2.1")])
