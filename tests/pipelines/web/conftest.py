"""Dagster's own web server behind the guard, on a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from coinwatch.settings import Settings
from pipelines.web.__main__ import guarded
from pipelines.web.dagster_private import WorkspaceProcessContext, create_app_from_workspace_process_context
from tests.waiting import eventually_sync
from warehouse.embedded.ports import free_port

Serve = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def dagster_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ASGIApp]:
    """Dagster's web server without pipelines, on an instance of its own."""
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        WorkspaceProcessContext(instance, workspace_load_target=None) as workspace,
    ):
        yield create_app_from_workspace_process_context(workspace)


@pytest.fixture
def serve(dagster_app: ASGIApp) -> Iterator[Serve]:
    """Serves it as the given settings require; returns a client of it."""
    with ExitStack() as stack:

        def start(**settings: object) -> httpx.Client:
            given = Settings(_env_file=None, **settings)  # type: ignore[arg-type]  # by name
            root = stack.enter_context(_running(guarded(dagster_app, given)))
            return stack.enter_context(httpx.Client(base_url=root, trust_env=False, timeout=20))

        yield start


@contextmanager
def _running(app: ASGIApp) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually_sync(lambda: server.started, 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
