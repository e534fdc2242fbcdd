"""Health checks of the parts of the stack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from coinwatch.errors import CoinwatchError
from coinwatch.settings import Settings
from warehouse.db.connect import running_url
from warehouse.ops.dagster import DAGSTER_DATABASE, daemon_beats

HEALTH_TIMEOUT_S = 2.0


class Health(Enum):
    """The result of a health check."""

    WORKS = auto()
    IMPAIRED = auto()
    """The part answers, and reports that something it needs (a database, disk space) is missing. A restart
    would not help."""
    FAILS = auto()
    """The part does not answer, or with an error of its own. A restart may help."""


Check = Callable[[], Awaitable[Health]]
"""Checks a part. Returns within five seconds and does not raise."""


def http_health(url: str, *, reports_impairment: bool = False) -> Check:
    """The check of a part that serves HTTP.

    ``reports_impairment``: with status 503 it reports that something it needs is missing.
    """

    async def health() -> Health:
        try:
            # The certificate is for the public name of the endpoint, not for its local address.
            async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501
                status = (await client.get(url)).status_code
        except httpx.TimeoutException:
            return Health.FAILS
        except httpx.ConnectError:
            return Health.IMPAIRED if await _listens(httpx.URL(url)) else Health.FAILS
        except httpx.HTTPError:  # it closed the connection, because too many are open
            return Health.IMPAIRED
        if status == HTTPStatus.OK:
            return Health.WORKS
        if status == HTTPStatus.SERVICE_UNAVAILABLE and reports_impairment:
            return Health.IMPAIRED
        return Health.FAILS if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Health.IMPAIRED

    return health


async def _listens(url: httpx.URL) -> bool:
    """Whether the port of ``url`` is open. A TLS handshake fails there when too many connections are open."""
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            _, writer = await asyncio.open_connection(url.host, url.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def code_server_health(socket: Path) -> Check:
    """The check of Dagster's code server, which serves gRPC on a Unix socket."""

    async def health() -> Health:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            try:
                answer = await HealthStub(channel).Check(
                    HealthCheckRequest(service="DagsterApi"), timeout=HEALTH_TIMEOUT_S
                )
            except grpc.RpcError:
                return Health.FAILS
            return Health.WORKS if answer.status == HealthCheckResponse.SERVING else Health.FAILS

    return health


def dagster_daemon_health(settings: Settings) -> Check:
    """Dagster's daemon has no port; it writes heartbeats to its database."""

    async def health() -> Health:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                beats = await daemon_beats(running_url(settings, DAGSTER_DATABASE))
        except (CoinwatchError, TimeoutError):
            return Health.IMPAIRED
        return Health.WORKS if beats else Health.FAILS

    return health
