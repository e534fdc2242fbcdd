"""Health checks of parts: which answers mean that a restart may help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.cli.runner import health as checks
from app.cli.runner.health import Health, http_health
from warehouse.embedded.ports import free_port


@asynccontextmanager
async def serving(answer: bytes | None) -> AsyncIterator[str]:
    """A server that sends ``answer`` and closes; None: it sends nothing and keeps the connection open."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await done.wait()
        elif answer:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/healthz"
        done.set()


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Health.WORKS),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Health.IMPAIRED),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", Health.IMPAIRED),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", Health.FAILS),
        (b"", Health.IMPAIRED),
        (None, Health.FAILS),
    ],
    ids=["ok", "impaired", "refused", "error", "closed", "silent"],
)
async def test_answer_of_a_part(
    answer: bytes | None, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "HEALTH_TIMEOUT_S", 0.5)
    async with serving(answer) as url:
        assert await http_health(url, reports_impairment=True)() is health


async def test_other_programs_use_503_for_their_own_errors() -> None:
    async with serving(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as url:
        assert await http_health(url)() is Health.FAILS


async def test_closed_port() -> None:
    assert await http_health(f"http://127.0.0.1:{free_port()}/")() is Health.FAILS


async def test_tls_handshake_refused_by_a_crowded_endpoint() -> None:
    """An attacker who fills the endpoint must not get it restarted."""
    async with serving(b"") as url:
        assert await http_health(url.replace("http:", "https:"))() is Health.IMPAIRED
