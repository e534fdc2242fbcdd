"""What an endpoint holds of a client ends with the client."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from app.alerts.admission import Visitor
from tests.app.alerts.conftest import Client, Endpoint
from tests.waiting import eventually


@pytest.mark.parametrize("ended", ["closed", "lost", "not_utf8", "too_large", "reserved_bits"])
@pytest.mark.parametrize("query", ["", "?client=brief"])
async def test_a_connection_that_has_ended_is_gone_at_once(
    endpoint: Endpoint, ended: str, query: str
) -> None:
    gc.collect()
    with no_collector():
        async with endpoint.client(query) as client:
            assert (await client.ask(cmd="watch", symbol="ethusd", price=1e9))["type"] == "ack"
            await eventually(lambda: held() == 2)
            await end(client, ended)
        await eventually(lambda: held() == 0)


async def test_who_asked_for_a_page_is_gone_at_once(endpoint: Endpoint) -> None:
    gc.collect()
    with no_collector():
        for path in ("/healthz", "/metrics", "/ws?client=%20", "/nowhere"):
            await endpoint.get(path)
        await eventually(lambda: held() == 0)


async def end(client: Client, how: str) -> None:
    match how:
        case "lost":
            client.socket.transport.abort()
        case "not_utf8":
            await client.socket.send(b"\xff\xfe", text=True)
        case "too_large":
            await client.socket.send("x" * 300_000)
        case "reserved_bits":
            client.socket.transport.write(b"\xf1\x80\0\0\0\0")
        case _:
            await client.socket.close()
    with suppress(ConnectionClosed):
        await client.socket.recv()


@contextmanager
def no_collector() -> Iterator[None]:
    """Only what nothing refers to goes: what is left in cycles would wait for long in a big process."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held() -> int:
    # By the type alone: isinstance would ask proxies of what is gone.
    return sum(issubclass(type(one), Visitor | ServerProtocol) for one in gc.get_objects())
