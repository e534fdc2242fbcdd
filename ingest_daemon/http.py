"""``/healthz`` and ``/metrics``, by GET and HEAD, in HTTP/1.0 and 1.1."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from coinwatch.errors import SettingsError
from coinwatch.health.problems import Problem, body

KEEP_ALIVE_S = 75.0
STOP_S = 1.0
"""How long a request may take to finish when the server stops."""


class Health(msgspec.Struct, frozen=True):
    """What ``/healthz`` reports, with status 503 if there are problems, else 200."""

    problems: Sequence[Problem]
    detail: Mapping[str, object]


@asynccontextmanager
async def serve(
    host: str, port: int, health: Callable[[], Health], metrics: Callable[[], bytes]
) -> AsyncIterator[int]:
    """Serve both pages on ``host:port`` while the context lasts.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        health: Called for each ``/healthz``.
        metrics: Called for each ``/metrics``; returns the Prometheus text format.

    Yields:
        The port.

    Raises:
        SettingsError: The port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        report = health()
        return _json(503 if report.problems else 200, body(report.problems, report.detail))

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application(middlewares=[_not_found])
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", metrics_page)
    runner = web.AppRunner(
        application, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=STOP_S
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror}): "
                "stop what uses it, or set COINWATCH_INGEST_PORT (COINWATCH_METRICS_HOST for the address)"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@web.middleware
async def _not_found(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _json(404, {"error": "not found: this server has /healthz and /metrics"})


def _json(status: int, fields: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(fields), content_type="application/json")
