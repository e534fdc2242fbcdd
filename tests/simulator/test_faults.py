"""What can be broken in the streams on purpose, and that it comes out as ordered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from coinwatch.times import now_us
from simulator.faults import LATEST_S, StreamFaults
from simulator.server import Simulator
from tests.simulator.streams import Heard, read_binance, read_coinbase, subscribed
from tests.waiting import eventually

FRAMES = [b'{"number":%d,"padding":"%s"}' % (number, b"x" * 50) for number in range(5_000)]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=2_000) as running:
        yield running


async def hear(client: ClientConnection, count: int) -> list[Heard]:
    """The next ``count`` trades of Binance; what cannot be read is passed over."""
    heard: list[Heard] = []
    while len(heard) < count:
        try:
            heard += read_binance(json.loads(await asyncio.wait_for(client.recv(), 10)))
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            continue
    return heard


def test_nothing_is_broken_unasked() -> None:
    assert StreamFaults(0, "kraken").fate(FRAMES) == [(0.0, frame) for frame in FRAMES]


def test_the_same_seed_breaks_the_same_frames() -> None:
    def broken(seed: int, exchange: str, pieces: int) -> list[tuple[float, bytes]]:
        faults = StreamFaults(seed, exchange)
        faults.garbage = faults.duplicated = faults.reordered = faults.dropped = 0.05
        step = len(FRAMES) // pieces
        return [
            sent
            for start in range(0, len(FRAMES), step)
            for sent in faults.fate(FRAMES[start : start + step])
        ]

    assert broken(1, "kraken", 1) == broken(1, "kraken", 10)
    assert broken(1, "kraken", 1) != broken(2, "kraken", 1)
    assert broken(1, "kraken", 1) != broken(1, "binance", 1)


def test_shares_are_of_all_frames_and_true_frames_all_come() -> None:
    faults = StreamFaults(3, "okx")
    faults.garbage, faults.duplicated, faults.reordered = 0.01, 0.02, 0.04
    sent = faults.fate(FRAMES)
    times = Counter(frame for _, frame in sent)
    damaged = sum(count for frame, count in times.items() if frame not in FRAMES)
    assert all(times[frame] in (1, 2) for frame in FRAMES)
    assert 25 < damaged < 100
    assert 50 < sum(times[frame] == 2 for frame in FRAMES) < 200
    late = {frame for wait_s, frame in sent if wait_s > 0}
    assert 100 < len(late) < 400
    assert all(wait_s <= LATEST_S for wait_s, _ in sent)


def test_dropped_and_delayed_frames() -> None:
    faults = StreamFaults(3, "okx")
    faults.dropped, faults.delay_s = 0.5, 2.0
    sent = faults.fate(FRAMES)
    assert 2_000 < len(sent) < 3_000
    assert {wait_s for wait_s, _ in sent} == {2.0}


async def test_disturbed_streams_still_bring_every_trade(simulator: Simulator) -> None:
    simulator.disturb("binance", garbage=0.2, duplicated=0.2, reordered=0.2)
    client = await subscribed(simulator, "binance")
    ids = [trade[0] for trade in await hear(client, 600)]
    newest = max(ids)
    async with asyncio.timeout(60):
        while set(range(min(ids), newest + 1)) - set(ids):  # what is still on its way comes later
            ids += [trade[0] for trade in await hear(client, 50)]
    await client.close()
    assert ids != sorted(ids)
    assert len(ids) > len(set(ids))


async def test_dropped_frames_leave_holes_that_rest_shows(simulator: Simulator) -> None:
    simulator.drop_frames("binance", 0.3)
    client = await subscribed(simulator, "binance")
    heard = await hear(client, 100)
    await client.close()
    ids = [trade[0] for trade in heard]
    missing = set(range(ids[0], ids[-1])) - set(ids)
    assert len(missing) > 10
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{simulator.rest_url}/binance/api/v3/aggTrades?symbol=BTCUSDT&fromId={ids[0]}&limit=1000"
        shown = {trade["a"] for trade in (await http.get(url)).json()}
    assert missing <= shown


async def test_a_delay_is_of_trades_only(simulator: Simulator) -> None:
    simulator.delay("binance", 1.0)
    client = await subscribed(simulator, "binance")
    assert json.loads(await asyncio.wait_for(client.recv(), 0.9)) == {"result": None, "id": 1}
    heard = await hear(client, 1)
    assert now_us() - heard[0][1] > 1_000_000
    await client.close()


async def test_one_market_alone_falls_silent(simulator: Simulator) -> None:
    client = await subscribed(simulator, "binance")
    await client.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@aggTrade"], "id": 2}))
    await hear(client, 5)
    with simulator.go_silent("binance:BTC-USDT"):

        async def is_silent() -> bool:
            frames = [json.loads(await asyncio.wait_for(client.recv(), 10)) for _ in range(200)]
            return not any("BTCUSDT" in json.dumps(frame) for frame in frames)

        await eventually(is_silent)
    while "BTCUSDT" not in str(await asyncio.wait_for(client.recv(), 10)):
        pass
    await client.close()


async def test_a_delisted_market_is_unknown_from_then_on(simulator: Simulator) -> None:
    client = await subscribed(simulator, "coinbase")
    simulator.delist("coinbase:BTC-USD")
    await eventually(lambda: _is_quiet(client))
    assert client.state.name == "OPEN"
    await client.close()
    again = await subscribed(simulator, "coinbase")
    refused = json.loads(await asyncio.wait_for(again.recv(), 10))
    assert refused["type"] == "error"
    assert refused["reason"] == "BTC-USD is not a valid product"
    await again.close()
    async with httpx.AsyncClient(trust_env=False) as http:
        root = f"{simulator.rest_url}/coinbase/products"
        assert (await http.get(f"{root}/BTC-USD/trades")).status_code == 404
        assert (await http.get(f"{root}/ETH-USD/trades")).status_code == 200


async def _is_quiet(client: ClientConnection) -> bool:
    """Whether a second brings no trade."""
    try:
        async with asyncio.timeout(1):
            while True:
                if read_coinbase(json.loads(await client.recv())):
                    return False
    except TimeoutError:
        return True


async def test_an_announced_end_comes_as_announced(simulator: Simulator) -> None:
    client = await subscribed(simulator, "binance")
    await hear(client, 1)
    simulator.announce_shutdown("binance", closes_in_s=0.5)
    async with asyncio.timeout(60):
        frames = [json.loads(frame) async for frame in client]
    assert client.close_code == 1001
    [at] = [place for place, frame in enumerate(frames) if frame.get("e") == "serverShutdown"]
    assert len(frames) > at + 1


async def test_sockets_that_may_not_grow_old(simulator: Simulator) -> None:
    simulator.limit_life("binance", 0.5)
    client = await subscribed(simulator, "binance")
    other = await subscribed(simulator, "coinbase")
    async with asyncio.timeout(60):
        assert [frame async for frame in client]
    assert client.close_code == 1001
    assert await asyncio.wait_for(other.recv(), 60)
    await other.close()
