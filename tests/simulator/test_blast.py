"""The firehose: sound frames, consecutive ids, a steady rate when asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from websockets.asyncio.client import connect

from coinwatch.times import now_us
from simulator.blast import BLAST_MARKETS, Blast

SUBSCRIBE = json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 4})


async def blasted(blast: Blast) -> list[Any]:
    async with connect(f"{blast.ws_url}/stream", compression=None) as client:
        await client.send(SUBSCRIBE)
        assert json.loads(await client.recv()) == {"result": None, "id": 4}
        return [json.loads(await asyncio.wait_for(client.recv(), 10)) for _ in range(blast.total)]


async def test_every_frame_is_a_trade_with_the_next_id() -> None:
    async with Blast(1_000, repeat=3) as blast:
        frames = await blasted(blast)
        again = await blasted(blast)
    assert len(frames) == blast.total >= 3_000
    assert len(BLAST_MARKETS) >= 12
    ids = defaultdict(list)
    for frame in frames + again:
        trade = frame["data"]
        assert frame["stream"] == f"{trade['s'].lower()}@aggTrade"
        assert trade["a"] == trade["f"] == trade["l"]
        assert float(trade["p"]) > 0
        assert float(trade["q"]) > 0
        assert abs(trade["T"] * 1_000 - now_us()) < 60_000_000
        ids[trade["s"]].append(trade["a"])
    assert len(ids) == len(BLAST_MARKETS)
    for of_market in ids.values():
        assert of_market == list(range(of_market[0], of_market[0] + len(of_market)))


async def test_frames_are_not_sent_faster_than_the_set_rate() -> None:
    async with Blast(1_300, trades_per_s=2_600, repeat=2) as blast:
        started = time.perf_counter()
        frames = await blasted(blast)
        took_s = time.perf_counter() - started
    assert took_s > 0.9  # no upper bound: a loaded machine takes longer
    assert frames[-1]["data"]["T"] > frames[0]["data"]["T"]
