"""The parts of the stack: which programs they are, where they are found, how to tell they are well."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from app.cli.runner.supervisor import Part
from coinwatch.errors import CoinwatchError
from coinwatch.settings import DEFAULT_FEEDS, PROVIDERS, Settings, load_settings
from warehouse.db.connect import database_url
from warehouse.ops.dagster import DAGSTER_DATABASE, daemon_beats

PROJECT = Path(__file__).resolve().parents[3]
"""Where ``dagster.yaml`` and ``workspace.yaml`` are: the folder Dagster takes as its home."""

LOCATION = "coinwatch"
"""Dagster's name for where the definitions come from, the same as in ``workspace.yaml``."""

HEALTH_TIMEOUT_S = 2.0
DEMO_RATE_LIMIT_SCALE = 20.0
"""The simulator is ours to ask as fast as we like."""


def demo_environment(settings: Settings) -> dict[str, str]:
    """What turns the stack into the demo: the same code with other addresses and its own data folder."""
    streams = f"ws://{settings.host}:{settings.simulator_ws_port}"
    answers = f"http://{settings.host}:{settings.simulator_rest_port}"
    return {
        **{f"COINWATCH_{name.upper()}_WS_URL": f"{streams}/{name}" for name in settings.exchanges()},
        **{
            f"COINWATCH_{name.upper()}_REST_URL": f"{answers}/{name}"
            for name in (*settings.exchanges(), *PROVIDERS)
        },
        "COINWATCH_NEWS_FEEDS": ",".join(f"{outlet}={answers}/news/{outlet}" for outlet, _ in DEFAULT_FEEDS),
        "COINWATCH_DATABASE_URL": "",
        "COINWATCH_DATA_DIR": str(settings.data_dir / "demo"),
        "COINWATCH_RATE_LIMIT_SCALE": str(DEMO_RATE_LIMIT_SCALE),
    }


def demo_settings(settings: Settings) -> Settings:
    """The settings of the demo, for commands that look at it from another terminal."""
    changes = demo_environment(settings).items()
    return load_settings(**{name.removeprefix("COINWATCH_").lower(): value for name, value in changes})


def ports(settings: Settings, *, demo: bool) -> Mapping[str, int]:
    """The ports the stack listens on, by the setting that moves each."""
    names = ["ingest_port", "alerts_port", "dashboard_port", "dagster_port"]
    if demo:
        names += ["simulator_ws_port", "simulator_rest_port"]
    return {f"COINWATCH_{name.upper()}": getattr(settings, name) for name in names}


def waves(settings: Settings, code_port: int, *, demo: bool) -> list[list[Part]]:
    """Every part, in the order they start: first those that others ask on starting.

    ``code_port`` is for Dagster's code server, which ``write_workspace`` names.
    """
    here = f"http://{settings.host}"
    bin_dir = Path(sys.executable).parent
    coinwatch = str(bin_dir / "coinwatch")
    workspace = ("-w", str(_workspace(settings)))
    pipelines = Part(
        name="pipelines",
        last_words=False,
        command=(
            *(str(bin_dir / "dagster"), "api", "grpc", "-m", "pipelines.definitions"),
            *("-h", settings.host, "-p", str(code_port), "--log-level", "warning"),
        ),
        healthy=_grpc_answers(settings.host, code_port),
    )
    simulator = Part(
        name="simulator",
        command=(coinwatch, "simulate"),
        healthy=_answers(f"{here}:{settings.simulator_rest_port}/binance/api/v3/ping"),
        url=f"{here}:{settings.simulator_rest_port}",
    )
    services = [
        Part(
            name="ingest",
            command=(coinwatch, "ingest"),
            healthy=_answers(f"{here}:{settings.ingest_port}/healthz"),
            url=f"{here}:{settings.ingest_port}/metrics",
        ),
        Part(
            name="alerts",
            command=(coinwatch, "alerts"),
            healthy=_answers(settings.alerts_url("/healthz", "http")),
            url=settings.alerts_url("/ws"),
        ),
        Part(
            name="dashboard",
            command=(
                *(sys.executable, "-m", "streamlit", "run", str(PROJECT / "app/dashboard/server.py")),
                *("--server.address", settings.host, "--server.port", str(settings.dashboard_port)),
            ),
            healthy=_answers(f"{here}:{settings.dashboard_port}/_stcore/health"),
            url=f"{here}:{settings.dashboard_port}",
        ),
        Part(
            name="dagster",
            last_words=False,
            command=(
                *(str(bin_dir / "dagster-webserver"), *workspace),
                *("-h", settings.host, "-p", str(settings.dagster_port)),
                *("--dagster-log-level", "warning"),
            ),
            healthy=_answers(f"{here}:{settings.dagster_port}/server_info"),
            url=f"{here}:{settings.dagster_port}",
        ),
        Part(
            name="scheduler",
            last_words=False,
            command=(
                *(str(bin_dir / "dagster-daemon"), "run", *workspace),
                *("--log-level", "warning"),
            ),
            healthy=_dagster_daemon_beats(settings),
        ),
    ]
    return [[simulator, pipelines] if demo else [pipelines], services]


def free_port(host: str) -> int:
    """A port nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def write_workspace(settings: Settings, code_port: int) -> None:
    """One code server for Dagster's webserver and daemon, in a workspace file in the data folder.

    By the project's own ``workspace.yaml`` each starts a server of its own, and the daemon starts
    another every minute.
    """
    server = {"host": settings.host, "port": code_port, "location_name": LOCATION}
    path = _workspace(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML too


def _workspace(settings: Settings) -> Path:
    return settings.data_dir / "dagster" / "workspace.yaml"


def _grpc_answers(host: str, port: int) -> Callable[[], Awaitable[bool]]:
    async def healthy() -> bool:
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            try:
                answer = await HealthStub(channel).Check(
                    HealthCheckRequest(service="DagsterApi"), timeout=HEALTH_TIMEOUT_S
                )
            except grpc.RpcError:
                return False
            return bool(answer.status == HealthCheckResponse.SERVING)

    return healthy


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def healthy() -> bool:
        try:
            # Its certificate is for the name that others know it by; here it is only asked whether it lives.
            async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501
                return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False

    return healthy


def _dagster_daemon_beats(settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Dagster's daemon has no port; its heartbeats in its own database tell."""

    async def healthy() -> bool:
        try:
            url = await asyncio.to_thread(database_url, settings, DAGSTER_DATABASE)
            return await daemon_beats(url)
        except CoinwatchError:
            return False

    return healthy
