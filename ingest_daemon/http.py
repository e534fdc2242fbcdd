"""``/healthz`` and ``/metrics``, served without a web framework."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server
from prometheus_client import CONTENT_TYPE_LATEST

from coinwatch.errors import SettingsError


class Health(msgspec.Struct, frozen=True):
    """The body of ``/healthz``, sent with status 200 when ``ok``, else 503."""

    ok: bool
    detail: dict[str, object]


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

    def answer(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        match request.path.partition(b"?")[0]:
            case b"/healthz":
                report = health()
                body = msgspec.json.encode({"status": "ok" if report.ok else "degraded", **report.detail})
                response = _json(body) if report.ok else _error(503, body)
            case b"/metrics":
                response = WSUpgradeResponse.create_ok_response(
                    metrics(), {"Content-Type": CONTENT_TYPE_LATEST}
                )
            case _:
                response = _error(404, b'{"error":"not found: this server has /healthz and /metrics"}')
        return WSUpgradeResponseWithListener(response, None)

    try:
        server = await ws_create_server(answer, host, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): "
            "stop what uses it, or set COINWATCH_INGEST_PORT (COINWATCH_HOST for the address)"
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


_JSON = {"Content-Type": "application/json"}


def _json(body: bytes) -> WSUpgradeResponse:
    response: WSUpgradeResponse = WSUpgradeResponse.create_ok_response(body, _JSON)
    return response


def _error(status: int, body: bytes) -> WSUpgradeResponse:
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(status, body, _JSON)
    return response
