"""The health and metrics pages, as proxies and load balancers request them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from coinwatch.health.problems import Code, Problem
from ingest_daemon.http import Health, serve

PROBLEM = Problem(Code.SPOOL_FULL, "the spool is full")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that is healthy."""
    async with serve("127.0.0.1", 0, lambda: Health([], {"queue": 3}), lambda: b"metric 1\n") as port:
        yield port


async def exchange(port: int, *lines: str) -> tuple[list[str], bytes]:
    """Send a request; return the lines of the head and the body, when the server has closed the socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().split("\r\n"), body


async def test_http_1_0_is_answered_and_the_connection_closed(port: int) -> None:
    head, body = await exchange(port, "GET /healthz HTTP/1.0")
    assert head[0] == "HTTP/1.0 200 OK"
    assert json.loads(body) == {"status": "ok", "queue": 3}
    head, body = await exchange(port, "GET /metrics HTTP/1.0", "Connection: close")
    assert head[0] == "HTTP/1.0 200 OK"
    assert body == b"metric 1\n"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics?name=x"])
async def test_head_has_the_length_and_no_body(port: int, path: str, version: str) -> None:
    request = (f"{{}} {path} HTTP/{version}", "Host: localhost", "Connection: close")
    whole, body = await exchange(port, request[0].format("GET"), *request[1:])
    head, nothing = await exchange(port, request[0].format("HEAD"), *request[1:])
    assert head[0] == whole[0] == f"HTTP/{version} 200 OK"
    assert nothing == b""
    assert f"Content-Length: {len(body)}" in head


async def test_a_connection_is_kept_alive_until_it_is_closed(port: int) -> None:
    head, _ = await exchange(
        port,
        *("GET /healthz HTTP/1.1", "Host: localhost", ""),
        *("GET /healthz HTTP/1.1", "Host: localhost", "Connection: close"),
    )
    assert head[0] == "HTTP/1.1 200 OK"


async def test_a_problem_is_503_with_its_reason() -> None:
    async with serve("127.0.0.1", 0, lambda: Health([PROBLEM], {}), lambda: b"") as port:
        for method, expected in (
            ("GET", [{"code": "spool_full", "message": "the spool is full"}]),
            ("HEAD", None),
        ):
            head, body = await exchange(port, f"{method} /healthz HTTP/1.0")
            assert head[0].startswith("HTTP/1.0 503")
            assert (json.loads(body)["reasons"] if body else None) == expected


async def test_other_methods_and_pages_are_refused(port: int) -> None:
    head, _ = await exchange(port, "POST /healthz HTTP/1.0", "Content-Length: 0")
    assert "405" in head[0]
    head, body = await exchange(port, "GET / HTTP/1.0")
    assert "404" in head[0]
    assert "/healthz" in json.loads(body)["error"]
    head, _ = await exchange(port, "not HTTP")
    assert "400" in head[0]
