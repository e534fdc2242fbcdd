"""The parts of the stack: their programs, addresses and health checks."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from app.cli.runner.health import HEALTH_TIMEOUT_S, Check, Health, dagster_daemon_health, http_health
from app.cli.runner.supervisor import Part
from coinwatch.errors import CoinwatchError
from coinwatch.settings import Settings

LOCATION = "coinwatch"
"""Dagster's name of our code location, as in ``workspace.yaml``."""

ANSWERS_WITHIN_S, CODE_ANSWERS_WITHIN_S = 30.0, 180.0
"""How long a part may fail its checks; the second where all threads may be busy with runs or ticks."""


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
        health=_grpc_health(settings.host, code_port),
        hangs_after_s=CODE_ANSWERS_WITHIN_S,
    )
    simulator = Part(
        name="simulator",
        command=(coinwatch, "simulate"),
        health=http_health(f"{local}:{settings.simulator_rest_port}/binance/api/v3/ping"),
        hangs_after_s=ANSWERS_WITHIN_S,
        url=f"{local}:{settings.simulator_rest_port}",
    )
    services = [
        Part(
            name="ingest",
            command=(coinwatch, "ingest"),
            health=http_health(f"{local}:{settings.ingest_port}/healthz", reports_impairment=True),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=f"{local}:{settings.ingest_port}/metrics",
        ),
        Part(
            name="alerts",
            command=(coinwatch, "alerts"),
            health=http_health(settings.alerts_url("/healthz", "http"), reports_impairment=True),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=settings.alerts_url("/ws"),
        ),
        Part(
            name="dashboard",
            command=(
                *(sys.executable, "-m", "streamlit", "run", str(files("app.dashboard") / "server.py")),
                *("--server.address", settings.host, "--server.port", str(settings.dashboard_port)),
            ),
            health=http_health(f"{local}:{settings.dashboard_port}/_stcore/health"),
            hangs_after_s=ANSWERS_WITHIN_S,
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
            health=http_health(f"{local}:{settings.dagster_port}/server_info"),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=f"{local}:{settings.dagster_port}",
        ),
        Part(
            name="scheduler",
            shows_shutdown_output=False,
            command=(
                *(program("dagster-daemon"), "run", *workspace),
                *("--log-level", "warning"),
            ),
            health=dagster_daemon_health(settings),
            hangs_after_s=CODE_ANSWERS_WITHIN_S,
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


def _grpc_health(host: str, port: int) -> Check:
    async def health() -> Health:
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            try:
                answer = await HealthStub(channel).Check(
                    HealthCheckRequest(service="DagsterApi"), timeout=HEALTH_TIMEOUT_S
                )
            except grpc.RpcError:
                return Health.FAILS
            return Health.WORKS if answer.status == HealthCheckResponse.SERVING else Health.FAILS

    return health
