"""The plain HTTP pages of the endpoint, as proxies and load balancers request them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.app.alerts.conftest import Endpoint


async def exchange(port: int, *lines: str) -> tuple[list[str], bytes]:
    """Send a request; return the lines of the head and the body, when the server has closed the socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().split("\r\n"), body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_get_and_head_in_both_versions(endpoint: Endpoint, path: str, version: str) -> None:
    got, body = await exchange(endpoint.port, f"GET {path} HTTP/{version}")
    assert got[0] == "HTTP/1.1 200 OK"
    assert f"Content-Length: {len(body)}" in got
    assert "Connection: close" in got
    head, nothing = await exchange(endpoint.port, f"HEAD {path} HTTP/{version}")
    assert head[0] == "HTTP/1.1 200 OK"
    assert nothing == b""
    assert any(line.startswith("Content-Length: ") and line != "Content-Length: 0" for line in head)


async def test_other_methods_are_refused(endpoint: Endpoint) -> None:
    head, body = await exchange(endpoint.port, "POST /healthz HTTP/1.1", "Content-Length: 0")
    assert head[0].startswith("HTTP/1.1 405")
    assert "Allow: GET, HEAD" in head
    assert "GET" in json.loads(body)["error"]
