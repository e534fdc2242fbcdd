"""Serves Dagster's web interface: ``python -m pipelines.web``, with DAGSTER_HOME set."""

from __future__ import annotations

import logging
import os

import click
import uvicorn
from dagster import DagsterInstance
from starlette.types import ASGIApp

from coinwatch import logs
from coinwatch.errors import CoinwatchError
from coinwatch.settings import Settings, load_settings
from coinwatch.settings.logins import check_dagster_login
from pipelines.web.access import Login
from pipelines.web.dagster_private import (
    WorkspaceLoadTarget,
    WorkspaceOpts,
    WorkspaceProcessContext,
    __version__,
    create_app_from_workspace_process_context,
    workspace_options,
    workspace_opts_to_load_target,
)
from pipelines.web.guard import Guard

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_S = 3_600
POOL_OVERFLOW = 20
SHUTDOWN_S = 5
"""Time for open requests and websockets when it stops."""


@click.command()
@workspace_options
def main(**options: object) -> None:
    """Serve Dagster's web interface on COINWATCH_DAGSTER_HOST and COINWATCH_DAGSTER_PORT.

    Beyond the loopback address COINWATCH_DAGSTER_TOKEN is required.
    """
    try:
        settings = load_settings()
        check_dagster_login(settings)
        if not os.environ.get("DAGSTER_HOME"):
            raise CoinwatchError("DAGSTER_HOME is not set: set it to the folder of dagster.yaml")
        logs.configure("dagster", log_format=settings.log_format, level=settings.log_level)
        for name in ("dagster", "dagster-webserver"):
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
        serve(settings, workspace_opts_to_load_target(WorkspaceOpts.extract_from_cli_options(options)))
    except CoinwatchError as error:
        raise click.ClickException(str(error)) from None


def serve(settings: Settings, target: WorkspaceLoadTarget) -> None:
    """Serve until SIGINT or SIGTERM. Raises as ``DagsterInstance.get``."""
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(
            statement_timeout=STATEMENT_TIMEOUT_MS, pool_recycle=POOL_RECYCLE_S, max_overflow=POOL_OVERFLOW
        )
        with WorkspaceProcessContext(
            instance, workspace_load_target=target, version=__version__, code_server_log_level="WARNING"
        ) as workspace:
            uvicorn.run(
                guarded(create_app_from_workspace_process_context(workspace), settings),
                host=settings.dagster_host,
                port=settings.dagster_port,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=SHUTDOWN_S,
            )


def guarded(app: ASGIApp, settings: Settings) -> Guard:
    """``app`` behind the guard, as the settings require."""
    token = settings.dagster_token
    secure = settings.dagster_url.startswith("https:")
    return Guard(
        app,
        host=settings.dagster_host,
        url=settings.dagster_url,
        login=None if token is None else Login(token.get_secret_value(), secure=secure),
    )


if __name__ == "__main__":
    main()
