"""The whole simulator over real sockets: the stream, REST, and what can be broken on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import httpx
import pytest
from websockets import Data
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coinwatch.errors import CoinwatchError
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import MINUTE_US, from_datetime, now_us
from simulator.server import Simulator
from simulator.truth import trades_in_minutes
from tests.simulator.streams import STREAMS, Heard, read_binance, subscribed
from tests.waiting import eventually

RATE = 2_000.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=RATE) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def read_on(client: ClientConnection, quiet_s: float) -> None:
    """Read until nothing has come for ``quiet_s``."""
    while True:
        try:
            await asyncio.wait_for(client.recv(), quiet_s)
        except TimeoutError:
            return


def true_trades(simulator: Simulator, market: Market, first: int, last: int, around_us: int) -> list[Trade]:
    sim = simulator.markets[market]
    trades = trades_in_minutes(sim, around_us // MINUTE_US - 2, 4).records(sim)
    return [trade for trade in trades if first <= trade.trade_id <= last]


@pytest.mark.parametrize("exchange", list(STREAMS))
async def test_the_stream_is_the_truth_in_order_without_loss(simulator: Simulator, exchange: str) -> None:
    _, _, read, symbol = STREAMS[exchange]
    heard: list[Heard] = []
    client = await subscribed(simulator, exchange)
    while len(heard) < 150:
        frame = json.loads(await asyncio.wait_for(client.recv(), 10))
        trades = read(frame)
        assert all(ts_us <= now_us() for _, ts_us, *_ in trades)
        heard += trades
    await client.close()
    ids = [trade[0] for trade in heard]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    market = Market.canonical(f"{exchange}:{symbol}")
    assert [Trade(market, *trade) for trade in heard] == true_trades(
        simulator, market, ids[0], ids[-1], heard[-1][1]
    )
    await eventually(lambda: simulator.open_sockets() == 0)


async def test_rest_and_stream_have_the_same_trades(simulator: Simulator, http: httpx.AsyncClient) -> None:
    client = await subscribed(simulator, "binance")
    heard: list[Heard] = []
    while len(heard) < 50:
        heard += read_binance(json.loads(await asyncio.wait_for(client.recv(), 10)))
    await client.close()
    asked = f"symbol=BTCUSDT&fromId={heard[0][0]}&limit={len(heard)}"
    answer = await http.get(f"{simulator.rest_url}/binance/api/v3/aggTrades?{asked}")
    assert [read_binance({"data": trade})[0] for trade in answer.json()] == heard
    assert answer.headers["x-mbx-used-weight-1m"] == "4"
    sent_at = parsedate_to_datetime(answer.headers["date"])
    assert abs(from_datetime(sent_at) - now_us()) < 3_000_000
    assert simulator.requests == {"binance/api/v3/aggTrades": 1}


async def test_many_clients_get_the_same_trades(simulator: Simulator) -> None:
    async def listen(client: ClientConnection, heard: list[Heard]) -> None:
        async for frame in client:
            heard += read_binance(json.loads(frame))

    heard: list[list[Heard]] = [[] for _ in range(20)]
    async with asyncio.TaskGroup() as tasks:
        listeners = []
        for each in heard:
            listeners.append(tasks.create_task(listen(await subscribed(simulator, "binance"), each)))
        await eventually(lambda: all(heard))
        common = max(each[0][0] for each in heard)
        await eventually(lambda: all(each[-1][0] >= common + 20 for each in heard))
        for listener in listeners:
            listener.cancel()
    for each in heard:
        ids = [trade[0] for trade in each]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    shared = [[trade for trade in each if common <= trade[0] <= common + 20] for each in heard]
    assert all(each == shared[0] for each in shared)
    assert len(shared[0]) == 21


async def test_heartbeats_come_each_second(simulator: Simulator) -> None:
    async with connect(f"{simulator.ws_url}/coinbase") as client:
        await client.send(
            json.dumps({"type": "subscribe", "product_ids": ["LTC-EUR"], "channels": ["heartbeat"]})
        )
        frames = [json.loads(await asyncio.wait_for(client.recv(), 5)) for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["subscriptions", "heartbeat", "heartbeat"]
    async with connect(f"{simulator.ws_url}/kraken") as client:
        params = {"channel": "trade", "symbol": ["ADA/EUR"], "snapshot": False}
        await client.send(json.dumps({"method": "subscribe", "params": params}))
        while json.loads(await asyncio.wait_for(client.recv(), 5)) != {"channel": "heartbeat"}:
            pass


@pytest.mark.parametrize("path", ["/nothing", "/binance", "/binance/other", "/coinbase/x"])
async def test_a_wrong_path_is_refused_at_the_handshake(simulator: Simulator, path: str) -> None:
    with pytest.raises(InvalidStatus):
        await connect(f"{simulator.ws_url}{path}")


async def test_dropped_sockets_and_a_new_start(simulator: Simulator) -> None:
    binance, kraken = await subscribed(simulator, "binance"), await subscribed(simulator, "kraken")
    assert simulator.drop_sockets("binance") == 1
    with pytest.raises(ConnectionClosed):
        await read_on(binance, 5)
    assert await asyncio.wait_for(kraken.recv(), 5)
    again = await subscribed(simulator, "binance")
    assert await asyncio.wait_for(again.recv(), 5)
    assert simulator.connections == {"binance": 2, "kraken": 1}
    await again.close()
    await kraken.close()


async def test_silence_keeps_the_socket_open(simulator: Simulator) -> None:
    client = await subscribed(simulator, "coinbase")
    await asyncio.wait_for(client.recv(), 5)
    with simulator.go_silent("coinbase"):
        await asyncio.wait_for(read_on(client, 0.3), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 1.2)
    before = json.loads(await asyncio.wait_for(client.recv(), 5))
    assert before["type"] in ("match", "heartbeat")
    await client.close()


async def test_garbage_is_the_same_for_the_same_seed(simulator: Simulator) -> None:
    client = await subscribed(simulator, "kraken")
    await asyncio.wait_for(client.recv(), 5)
    for _ in range(2):
        simulator.send_garbage("kraken", 5)
    frames: list[Data] = []
    while len(frames) < 10 or frames[-5:] != frames[-10:-5]:
        frames.append(await asyncio.wait_for(client.recv(), 5))
    await client.close()


async def test_a_client_that_does_not_read_is_cut_and_others_go_on(simulator: Simulator) -> None:
    slow = await subscribed(simulator, "kraken", max_queue=1)
    other = await subscribed(simulator, "coinbase")
    await asyncio.wait_for(slow.recv(), 5)

    async def flooded() -> bool:
        simulator.send_garbage("kraken", 2_000)
        return simulator.open_sockets("kraken") == 0

    await eventually(flooded)
    assert await asyncio.wait_for(other.recv(), 5)
    slow.transport.abort()
    await other.close()


async def test_rest_failures_on_demand(simulator: Simulator, http: httpx.AsyncClient) -> None:
    simulator.fail_rest("binance", 429, times=2, retry_after_s=1.5)
    url = f"{simulator.rest_url}/binance/api/v3/ping"
    answers = [await http.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "1.5"
    other = await http.get(f"{simulator.rest_url}/kraken/0/public/Time")
    assert other.status_code == 200
    assert (await http.get(f"{simulator.rest_url}/nothing/x")).status_code == 404
    assert (await http.post(url)).status_code == 405


async def test_settings_point_every_exchange_here(simulator: Simulator) -> None:
    settings = Settings(_env_file=None, **simulator.settings_overrides())  # type: ignore[arg-type]
    for exchange in simulator.exchanges:
        assert settings.ws_url(exchange) == f"{simulator.ws_url}/{exchange}"
        assert settings.rest_url(exchange) == f"{simulator.rest_url}/{exchange}"


async def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CoinwatchError, match=rf"{port} .*COINWATCH_SIMULATOR_WS_PORT"):
            async with Simulator(ws_port=port):
                pass
        with pytest.raises(CoinwatchError, match=rf"{port} .*COINWATCH_SIMULATOR_REST_PORT"):
            async with Simulator(rest_port=port):
                pass
