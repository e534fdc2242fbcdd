"""Listening sockets, and the HTTP server behind one of them."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from coinwatch.errors import CoinwatchError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, because the program decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve_http(application: Application, listening: socket.socket) -> AsyncIterator[None]:
    """Answer HTTP requests on ``listening`` within the context."""
    config = uvicorn.Config(
        application,
        http="httptools",
        interface="asgi3",
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@contextmanager
def listen(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """A listening socket. Raises CoinwatchError naming the port and the setting that moves it."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1_024
        )
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise CoinwatchError(
            f"port {port} on {host} {what}: stop the program that uses it, or set {setting} to another port"
        ) from None
    with listening:
        # asyncio sets this only on sockets that name their protocol; accepted sockets inherit it.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listening


def address_of(listening: socket.socket) -> str:
    """``host:port`` as written in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
