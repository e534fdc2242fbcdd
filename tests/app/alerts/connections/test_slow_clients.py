"""Clients that send and do not read: what waits for them is bounded, they are cut off, and others go on."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.alerts import endpoint as endpoint_module
from tests.app.alerts.access.test_rate_limits import MEGABYTE, client_frame, opened, replies
from tests.app.alerts.conftest import Client, Endpoint, Exchange
from tests.waiting import eventually

Start = Callable[[], Awaitable[Endpoint]]

LIST = client_frame(0x1, b'{"cmd":"list"}')
WATCHES = 150
"""With their notes, a list of them is over 100 kB."""
MANY_LISTS = 3_000
"""So many commands fit one read of the endpoint."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing is cut off soon."""
    monkeypatch.setattr("app.alerts.connections.hub.SEND_TIMEOUT_S", 1.0)
    monkeypatch.setattr(endpoint_module, "CLOSE_TIMEOUT_S", 0.5)


async def watch_much(endpoint: Endpoint) -> None:
    async with endpoint.client("?client=mute") as client:
        for _ in range(WATCHES):
            await client.ask(cmd="watch", symbol="ethusd", price=1e9, note="x" * 500)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 1_000_000}])
async def test_unread_replies_are_bounded_and_end_the_connection(exchange: Exchange, start: Start) -> None:
    endpoint = await start()
    await watch_much(endpoint)
    async with endpoint.client() as other:
        before = psutil.Process().memory_info().rss
        sending = [asyncio.create_task(ask_for_ever(endpoint)) for _ in range(2)]
        answered = 0
        while not all(task.done() for task in sending):
            await other.nothing_more()
            answered += 1
        assert answered > 0
        await asyncio.gather(*sending)
        assert psutil.Process().memory_info().rss - before < 60 * MEGABYTE
        await eventually(lambda: replies(endpoint, "coinwatch_alerts_connections 1.0"))
        assert await replies(endpoint, "coinwatch_alerts_slow_consumers_total 2.0")


async def ask_for_ever(endpoint: Endpoint) -> None:
    reader, writer = await opened(endpoint, "?client=mute")
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(ConnectionError):
        while True:
            writer.write(LIST)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 1_000_000}])
async def test_what_was_asked_on_a_connection_that_broke_is_not_done_any_more(
    exchange: Exchange, endpoint: Endpoint
) -> None:
    await watch_much(endpoint)
    async with endpoint.client():
        reader, writer = await opened(endpoint, "?client=mute")
        writer.write(LIST * MANY_LISTS)
        await reader.readexactly(1)
        writer.transport.abort()
        await eventually(lambda: replies(endpoint, "coinwatch_alerts_connections 1.0"))
    metrics = (await endpoint.get("/metrics")).text
    (line,) = (
        line
        for line in metrics.splitlines()
        if line.startswith('coinwatch_alerts_answers_total{result="ack"}')
    )
    assert float(line.split()[-1]) < WATCHES + MANY_LISTS / 2


async def test_a_client_that_answers_no_ping_is_closed_with_the_reason(
    exchange: Exchange, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "PING_S", 1.0)
    monkeypatch.setattr(endpoint_module, "CLOSE_TIMEOUT_S", 0.5)
    reader, writer = await opened(await start())
    async with asyncio.timeout(60):
        received = await reader.read(65_536)
        while not received.endswith(b"ping timeout"):
            more = await reader.read(65_536)
            assert more, received
            received += more
    assert struct.pack("!H", 1011) in received
    writer.close()


@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 0.5}])
@pytest.mark.parametrize("query", ["", "?client=flood"])
async def test_a_flood_without_reading_is_answered_as_far_as_it_may_and_closed(
    endpoint: Endpoint, query: str
) -> None:
    async with endpoint.client("?client=calm") as other:
        async with connect(endpoint.url + query, max_queue=None, close_timeout=1) as socket:
            with suppress(ConnectionClosed):
                for number in range(40):
                    await socket.send(json.dumps({"cmd": "ping", "id": number}))
            received = Counter[str]()
            client = Client(socket)
            with suppress(ConnectionClosed):
                while True:
                    frame = await client.read()
                    received[frame.get("code", frame["type"])] += 1
            assert received["ack"] >= 5
            assert received["too_many_commands"] >= 5
            assert received.total() < 40
            assert socket.close_code == 1008
            assert "flood" in (socket.close_reason or "")
        await other.nothing_more()
