"""The parts of the stack: their programs, addresses and health checks."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from app.cli.runner.health import code_server_health, dagster_daemon_health, http_health
from app.cli.runner.supervisor import Part
from coinwatch.errors import CoinwatchError
from coinwatch.files import make_own_folder, write_text
from coinwatch.settings import Settings
from coinwatch.settings.addresses import local_url

LOCATION = "coinwatch"
"""Dagster's name of our code location, as in ``workspace.yaml``."""

ANSWERS_WITHIN_S, CODE_ANSWERS_WITHIN_S = 30.0, 180.0
"""How long a part may fail its checks; the second where all threads may be busy with runs or ticks."""


def waves(settings: Settings, code_socket: Path, *, demo: bool) -> list[list[Part]]:
    """All parts in the order they start: a wave needs the waves before it.

    ``code_socket`` is the Unix socket of Dagster's code server, as given to ``write_dagster_home``.
    """
    metrics = local_url("http", settings.metrics_host, settings.ingest_port)
    dashboard = local_url("http", settings.dashboard_host, settings.dashboard_port)
    dagster = local_url("http", settings.dagster_host, settings.dagster_port)
    simulated = local_url("http", settings.simulator_host, settings.simulator_rest_port)
    coinwatch = program("coinwatch")
    workspace = ("-w", str(dagster_home(settings) / "workspace.yaml"))
    pipelines = Part(
        name="pipelines",
        shows_shutdown_output=False,
        command=(
            *(program("dagster"), "api", "grpc", "-m", "pipelines.definitions"),
            *("--socket", str(code_socket), "--log-level", "warning"),
        ),
        health=code_server_health(code_socket),
        hangs_after_s=CODE_ANSWERS_WITHIN_S,
    )
    simulator = Part(
        name="simulator",
        command=(coinwatch, "simulate"),
        health=http_health(f"{simulated}/binance/api/v3/ping"),
        hangs_after_s=ANSWERS_WITHIN_S,
        url=simulated,
    )
    services = [
        Part(
            name="ingest",
            command=(coinwatch, "ingest"),
            health=http_health(f"{metrics}/healthz", reports_impairment=True),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=f"{metrics}/metrics",
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
                *("--server.address", settings.dashboard_host, "--server.port", str(settings.dashboard_port)),
            ),
            health=http_health(f"{dashboard}/_stcore/health"),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=dashboard,
        ),
        Part(
            name="dagster",
            shows_shutdown_output=False,
            command=(sys.executable, "-P", "-m", "pipelines.web", *workspace),
            health=http_health(f"{dagster}/server_info"),
            hangs_after_s=ANSWERS_WITHIN_S,
            url=dagster,
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


def write_dagster_home(settings: Settings, code_socket: Path) -> None:
    """Write Dagster's instance configuration and workspace into ``dagster_home``.

    The workspace names one code server for the webserver and the daemon. With the packaged
    ``workspace.yaml`` each starts a server of its own, and the daemon starts another every minute.
    """
    server = {"socket": str(code_socket), "location_name": LOCATION}
    home = dagster_home(settings)
    make_own_folder(home)
    write_text(home / "dagster.yaml", (files("pipelines.instance") / "dagster.yaml").read_text())
    write_text(home / "workspace.yaml", json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML
