"""docker-compose.yml: containers can do no more than they need, and only what is meant to is reachable."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CODE_SERVER_CLIENTS = {"dagster", "scheduler"}


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]  # noqa: S108  # a mount
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["image"] == "coinwatch" or service["user"] != "root"


def test_images_have_exact_versions() -> None:
    images = [service["image"] for service in SERVICES.values() if service["image"] != "coinwatch"]
    images += re.findall(r"^FROM (\S+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 2
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []


def test_image_runs_as_its_own_user() -> None:
    assert "USER coinwatch" in (PROJECT / "Dockerfile").read_text()


def test_ports_are_published_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_code_server_is_on_a_network_of_its_clients_only() -> None:
    """And listens nowhere else: the name is an alias in that network alone."""
    assert COMPOSE["networks"] == {"rpc": {"internal": True}}
    joined = {name for name, service in SERVICES.items() if "rpc" in service.get("networks", ())}
    assert joined == CODE_SERVER_CLIENTS | {"pipelines"}
    server = SERVICES["pipelines"]
    assert "ports" not in server
    (alias,) = server["networks"]["rpc"]["aliases"]
    assert server["networks"]["default"] is None
    assert alias not in SERVICES
    assert server["command"][server["command"].index("-h") + 1] == alias
    for name in CODE_SERVER_CLIENTS:
        command = SERVICES[name]["command"]
        assert command[command.index("--grpc-host") + 1] == alias


def test_dagster_requires_a_token() -> None:
    assert SERVICES["dagster"]["environment"]["COINWATCH_DAGSTER_TOKEN"].startswith(
        "${COINWATCH_DAGSTER_TOKEN:?"
    )
    assert [
        name for name in SERVICES if "COINWATCH_DAGSTER_TOKEN" in SERVICES[name].get("environment", ())
    ] == ["dagster"]


def test_what_must_survive_a_new_container_is_in_a_volume() -> None:
    mounted = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())
    }
    assert mounted == set(COMPOSE["volumes"])
    assert SERVICES["ingest"]["volumes"] == ["spool:/app/.coinwatch"]
