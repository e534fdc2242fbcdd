"""The parts of the stack: their programs, addresses and health checks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from app.cli.runner.supervisor import Part
from coinwatch.errors import CoinwatchError
from coinwatch.settings import Settings
from warehouse.db.connect import database_url
from warehouse.ops.dagster import DAGSTER_DATABASE, daemon_beats

LOCATION = "coinwatch"
"""Dagster's name of our code location, as in ``workspace.yaml``."""

HEALTH_TIMEOUT_S = 2.0


def ports(settings: Settings, *, demo: bool) -> Mapping[str, int]:
    """The ports of the stack, by the name of the setting for each."""
    names = ["ingest_port", "alerts_port", "dashboard_port", "dagster_port"]
    if demo:
        names += ["simulator_ws_port", "simulator_rest_port"]
    return {f"COINWATCH_{name.upper()}": getattr(settings, name) for name in names}


def waves(settings: Settings, code_port: int, *, demo: bool) -> list[list[Part]]:
    """All parts in the order they start: a wave needs the waves before it.

    ``code_port`` is the port of Dagster's code server, as given to ``write_dagster_home``.
    """
    local = f"http://{settings.host}"
    coinwatch = program("coinwatch")
    workspace = ("-w", str(dagster_home(settings) / "workspace.yaml"))
    pipelines = Part(
        name="pipelines",
        shows_shutdown_output=False,
        command=(
            *(program("dagster"), "api", "grpc", "-m", "pipelines.definitions"),
            *("-h", settings.host, "-p", str(code_port), "--log-level", "warning"),
        ),
        healthy=_grpc_health(settings.host, code_port),
    )
    simulator = Part(
        name="simulator",
        command=(coinwatch, "simulate"),
        healthy=_http_health(f"{local}:{settings.simulator_rest_port}/binance/api/v3/ping"),
        url=f"{local}:{settings.simulator_rest_port}",
    )
    services = [
        Part(
            name="ingest",
            command=(coinwatch, "ingest"),
            healthy=_http_health(f"{local}:{settings.ingest_port}/healthz"),
            url=f"{local}:{settings.ingest_port}/metrics",
        ),
        Part(
            name="alerts",
            command=(coinwatch, "alerts"),
            healthy=_http_health(settings.alerts_url("/healthz", "http")),
            url=settings.alerts_url("/ws"),
        ),
        Part(
            name="dashboard",
            command=(
                *(sys.executable, "-m", "streamlit", "run", str(files("app.dashboard") / "server.py")),
                *("--server.address", settings.host, "--server.port", str(settings.dashboard_port)),
            ),
            healthy=_http_health(f"{local}:{settings.dashboard_port}/_stcore/health"),
            url=f"{local}:{settings.dashboard_port}",
        ),
        Part(
            name="dagster",
            shows_shutdown_output=False,
            command=(
                *(program("dagster-webserver"), *workspace),
                *("-h", settings.host, "-p", str(settings.dagster_port)),
                *("--dagster-log-level", "warning"),
            ),
            healthy=_http_health(f"{local}:{settings.dagster_port}/server_info"),
            url=f"{local}:{settings.dagster_port}",
        ),
        Part(
            name="scheduler",
            shows_shutdown_output=False,
            command=(
                *(program("dagster-daemon"), "run", *workspace),
                *("--log-level", "warning"),
            ),
            healthy=_dagster_daemon_health(settings),
        ),
    ]
    return [[simulator, pipelines] if demo else [pipelines], services]


def program(name: str) -> str:
    """The path of a program installed with Coinwatch: beside this Python, in its scripts folder or on PATH.

    Raises:
        CoinwatchError: There is no such program.
    """
    folders = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise CoinwatchError(f"the program {name} is not installed: install the package coinwatch again")
    return path


def dagster_home(settings: Settings) -> Path:
    """The folder to use as ``DAGSTER_HOME``, in the data folder."""
    return settings.data_dir / "dagster"


def write_dagster_home(settings: Settings, code_port: int) -> None:
    """Write Dagster's instance configuration and workspace into ``dagster_home``.

    The workspace names one code server for the webserver and the daemon. With the packaged
    ``workspace.yaml`` each starts a server of its own, and the daemon starts another every minute.
    """
    server = {"host": settings.host, "port": code_port, "location_name": LOCATION}
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text((files("pipelines.instance") / "dagster.yaml").read_text())
    (home / "workspace.yaml").write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML


def _grpc_health(host: str, port: int) -> Callable[[], Awaitable[bool]]:
    async def healthy() -> bool:
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            try:
                health = await HealthStub(channel).Check(
                    HealthCheckRequest(service="DagsterApi"), timeout=HEALTH_TIMEOUT_S
                )
            except grpc.RpcError:
                return False
            return bool(health.status == HealthCheckResponse.SERVING)

    return healthy


def _http_health(url: str) -> Callable[[], Awaitable[bool]]:
    async def healthy() -> bool:
        try:
            # The certificate is for the public name of the endpoint, not for its local address.
            async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501
                return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False

    return healthy


def _dagster_daemon_health(settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Dagster's daemon has no port; it writes heartbeats to its database."""

    async def healthy() -> bool:
        try:
            url = await asyncio.to_thread(database_url, settings, DAGSTER_DATABASE)
            return await daemon_beats(url)
        except CoinwatchError:
            return False

    return healthy
