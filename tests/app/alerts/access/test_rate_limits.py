"""Limits: how fast, how many, and what happens beyond. Pure, then over real sockets."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from app.alerts import endpoint as endpoint_module
from app.alerts.access.admission import MOST_PARTS
from app.alerts.access.rate_limits import BURST_S, ConnectionLimiter, Pace, address_key
from tests.app.alerts.conftest import Endpoint, Exchange, check
from tests.lag import longest_delay
from tests.waiting import eventually

Start = Callable[[], Awaitable[Endpoint]]
MEGABYTE = 1024 * 1024


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0, 3), max_size=300), st.sampled_from([0.5, 1.0, 7.0]))
def test_a_client_that_waits_as_long_as_stated_is_served(pauses_s: list[float], per_s: float) -> None:
    clock = Clock()
    pace = Pace(per_s, clock)
    served = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        wait_s = pace.take()
        served += not wait_s
        assert 0 <= wait_s <= 2 * BURST_S + 2 / per_s
    assert served <= max(1.0, per_s * BURST_S) + clock.now_s * per_s
    if wait_s := pace.take():
        clock.now_s += wait_s + 1e-6
        assert pace.take() == 0


def test_a_burst_is_served_then_refused_then_a_flood() -> None:
    pace = Pace(10, Clock())
    assert [pace.take() for _ in range(100)] == [0.0] * 100
    assert pace.take() == pytest.approx(0.2)
    for _ in range(98):
        pace.take()
        assert not pace.is_flood
    pace.take()
    assert pace.is_flood


def test_connections_are_counted_by_address_and_in_all() -> None:
    limiter = ConnectionLimiter(3, 2)
    assert limiter.enter("a") is None
    assert limiter.enter("a") is None
    assert "2 connections from this address" in (limiter.enter("a") or "")
    limiter.leave("a")
    assert limiter.enter("b") is None
    assert "3 connections already" in (limiter.enter("c") or "")
    for _ in range(2):
        limiter.leave("a")
    assert limiter.enter("a") is None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_one_address(host: str, key: str) -> None:
    assert address_key(host) == key


@pytest.mark.parametrize("overrides", [{"alerts_watches": 3}])
async def test_watches_over_the_limit_are_refused(endpoint: Endpoint, exchange: Exchange) -> None:
    for query in ("", "?client=keen"):
        async with endpoint.client(query) as client:
            for _ in range(3):
                assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["type"] == "ack"
            assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["code"] == "too_many_watches"
    async with endpoint.client("?client=keen") as client:
        assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["code"] == "too_many_watches"
        await exchange.trade("coinbase:ETH-USD", 2.0)
        for _ in range(3):
            await client.read()
        assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["type"] == "ack"


@pytest.mark.parametrize("overrides", [{"alerts_watches": 3}])
async def test_watches_are_counted_over_all_connections_of_a_name(endpoint: Endpoint) -> None:
    async with endpoint.client("?client=keen") as first, endpoint.client("?client=keen") as other:
        for client in (first, other, first):
            assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["type"] == "ack"
        for client in (first, other):
            assert (await client.ask(cmd="watch", symbol="ethusd", price=1))["code"] == "too_many_watches"


@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 0.5}])
async def test_commands_that_come_too_fast(endpoint: Endpoint) -> None:
    async with endpoint.client() as client:
        for number in range(5):
            assert (await client.ask(cmd="ping", id=number))["type"] == "ack"
        refused = await client.ask(cmd="watch", symbol="ethusd", price=1, id="sixth")
        assert refused["code"] == "too_many_commands"
        assert refused["id"] == "sixth"
        assert 0 < refused["retry_after_s"] <= 4
        with suppress(ConnectionClosed):
            while True:
                assert (await client.ask(cmd="list"))["code"] == "too_many_commands"
        assert client.socket.close_code == 1008
        assert "flood" in (client.socket.close_reason or "")
    await eventually(lambda: turned_away(endpoint, "flood"))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"alerts_connections_per_address": 2}, "from this address"),
        ({"alerts_connections": 2}, "2 connections already"),
    ],
)
async def test_more_connections_than_may_be(endpoint: Endpoint, text: str) -> None:
    async with endpoint.client() as first, endpoint.client():
        with pytest.raises(InvalidStatus) as refusal:
            async with endpoint.client():
                pass
        response = refusal.value.response
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        refused = json.loads(response.body or b"")
        assert refused["code"] == "too_many_connections"
        assert text in refused["message"]
        assert (await endpoint.get("/healthz")).status_code == 200
        await first.nothing_more()

    async def is_let_in() -> bool:
        async with endpoint.client() as client:
            await client.nothing_more()
        return True

    await eventually(is_let_in)


@pytest.mark.parametrize("overrides", [{"alerts_connections_per_address": 1}])
async def test_a_crowd_is_dropped_unheard(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.alerts.access.rate_limits.CROWD", 3)
    sockets = []
    try:
        for _ in range(8):
            sockets.append(await asyncio.open_connection("127.0.0.1", endpoint.port))
        async with asyncio.timeout(20):
            for reader, _ in sockets[4:]:
                await until_ended(reader)
        assert not any(reader.at_eof() for reader, _ in sockets[:4])
    finally:
        for _, writer in sockets:
            writer.close()


async def test_a_silent_connection_ends(
    exchange: Exchange, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "OPEN_TIMEOUT_S", 0.3)
    endpoint = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(b"GET /ws HTTP/1.1\r\nHost: half")
    async with asyncio.timeout(20):
        await until_ended(reader)
    writer.close()


async def test_a_socket_that_is_half_open_ends_and_its_watches_too(
    exchange: Exchange, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "PING_S", 0.3)
    monkeypatch.setattr(endpoint_module, "CLOSE_TIMEOUT_S", 0.3)
    endpoint = await start()
    async with endpoint.client() as gone, endpoint.client() as there:
        await gone.ask(cmd="watch", symbol="ethusd", price=1)
        # What a host that has lost its power looks like: it takes nothing and replies nothing.
        gone.socket.transport.pause_reading()
        await eventually(lambda: replies(endpoint, "coinwatch_alerts_connections 1.0"))
        await there.nothing_more()
        await eventually(lambda: replies(endpoint, "coinwatch_alerts_rules 0.0"))
        gone.socket.transport.abort()


async def test_pings_without_reading_pongs_end_the_connection(endpoint: Endpoint) -> None:
    before = psutil.Process().memory_info().rss
    _, writer = await opened(endpoint)
    ping = client_frame(0x9, b"x" * 125) * 100
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while True:
                writer.write(ping)
                await writer.drain()
    writer.close()
    assert psutil.Process().memory_info().rss - before < 30 * MEGABYTE
    assert await eventually(lambda: turned_away(endpoint, "flood"))


async def test_frames_that_swell_end_the_connection(endpoint: Endpoint) -> None:
    reader, writer = await opened(endpoint, deflate=True)
    packer = zlib.compressobj(wbits=-10)
    packed = packer.compress(b" " * 250_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    packer = zlib.compressobj(wbits=-10)
    frame = client_frame(0x1 | 0x40, packed[:-4])
    assert len(frame) < 500
    writer.write(frame * 2_000)
    async with asyncio.timeout(30):
        await until_ended(reader)
    writer.close()
    assert await eventually(lambda: turned_away(endpoint, "swollen"))


@pytest.mark.parametrize(
    ("first", "others"),
    [((0x1, False), (0x0, False)), ((0x1, True), (0x1, True)), ((0x9, True), (0xA, True))],
)
async def test_empty_frames_end_the_connection(
    endpoint: Endpoint, first: tuple[int, bool], others: tuple[int, bool]
) -> None:
    """Parts of a message, messages, pings and pongs. A hundred thousand would take the loop half a second."""
    begins, frame = (client_frame(opcode, b"", fin=fin) for opcode, fin in (first, others))
    async with longest_delay() as delay:
        reader, writer = await opened(endpoint)
        writer.write(begins + frame * 100_000)
        async with asyncio.timeout(30):
            await until_ended(reader)
        writer.close()
    assert await eventually(lambda: turned_away(endpoint, "flood"))
    assert delay.longest_s < 0.15


@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 1_000_000.0}])
async def test_a_message_has_a_limited_number_of_parts(endpoint: Endpoint) -> None:
    """Also where the pace allows them: empty parts have no size that would limit them."""
    reader, writer = await opened(endpoint)
    writer.write(client_frame(0x1, b"", fin=False) + client_frame(0x0, b"", fin=False) * (MOST_PARTS + 700))
    async with asyncio.timeout(30):
        await until_ended(reader)
    writer.close()
    assert await eventually(lambda: turned_away(endpoint, "flood"))


async def test_an_address_that_is_no_url_is_answered(endpoint: Endpoint) -> None:
    for target in ("//[", "http://[::1", "/ws?client=%5B&after=[", "//[/prices", "*"):
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] in (b"400", b"404"), target
        writer.close()


@pytest.mark.parametrize(("overrides", "is_small"), [({}, True), ({"alerts_compression": False}, False)])
async def test_compression_is_had_by_who_asks_for_it(
    endpoint: Endpoint, exchange: Exchange, is_small: bool
) -> None:
    asked = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
    async with connect(endpoint.url, compression=None, extensions=asked) as socket:
        agreed = [extension.name for extension in socket.protocol.extensions]
        assert agreed == (["permessage-deflate"] if is_small else [])
        for _ in range(3):
            await socket.send(json.dumps({"cmd": "watch", "symbol": "ethusd", "price": 1e9}))
            frame = json.loads(await socket.recv())
            check("frame", frame)
            assert frame["type"] == "ack"
    async with connect(endpoint.url, compression=None) as socket:
        assert socket.protocol.extensions == []


async def opened(
    endpoint: Endpoint, query: str = "", *, deflate: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket by hand, to send what no library would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    asks = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflate else ""
    writer.write(
        f"GET /ws{query} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{asks}\r\n".encode()
    )
    try:
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def until_ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        while await reader.read(65_536):
            pass


def client_frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A frame, masked with zeros."""
    length = (
        bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack("!H", len(data))
    )
    return bytes([(0x80 if fin else 0) | opcode]) + length + bytes(4) + data


async def replies(endpoint: Endpoint, line: str) -> bool:
    return line in (await endpoint.get("/metrics")).text.splitlines()


async def turned_away(endpoint: Endpoint, reason: str) -> bool:
    text = (await endpoint.get("/metrics")).text
    return f'coinwatch_alerts_turned_away_total{{reason="{reason}"}}' in text
