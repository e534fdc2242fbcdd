"""A client of the simulated streams: how to ask, and how to read what comes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from coinwatch.times import from_datetime
from simulator.server import Simulator

Heard = tuple[int, int, float, float, bool]
"""Id, time, price, amount and whether the taker bought."""


def read_binance(frame: Any) -> list[Heard]:
    trade = frame.get("data")
    if trade is None:
        return []
    return [(trade["a"], trade["T"] * 1_000, float(trade["p"]), float(trade["q"]), not trade["m"])]


def read_coinbase(frame: Any) -> list[Heard]:
    if frame["type"] not in ("match", "last_match"):
        return []
    ts_us = from_datetime(datetime.fromisoformat(frame["time"]))
    taker_buys = frame["side"] == "sell"
    return [(frame["trade_id"], ts_us, float(frame["price"]), float(frame["size"]), taker_buys)]


def read_kraken(frame: Any) -> list[Heard]:
    return [
        (
            trade["trade_id"],
            from_datetime(datetime.fromisoformat(trade["timestamp"])),
            trade["price"],
            trade["qty"],
            trade["side"] == "buy",
        )
        for trade in frame.get("data", [])
        if frame["channel"] == "trade"
    ]


STREAMS = {
    "binance": (
        "/stream",
        {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1},
        read_binance,
        "BTC-USDT",
    ),
    "coinbase": (
        "",
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches", "heartbeat"]},
        read_coinbase,
        "BTC-USD",
    ),
    "kraken": (
        "",
        {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}},
        read_kraken,
        "BTC-USD",
    ),
}


async def subscribed(simulator: Simulator, exchange: str, max_queue: int | None = None) -> ClientConnection:
    path, request, _, _ = STREAMS[exchange]
    client = await connect(f"{simulator.ws_url}/{exchange}{path}", max_queue=max_queue)
    await client.send(json.dumps(request))
    return client
