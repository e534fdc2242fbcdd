"""Sends one trade at a time at a steady rate, stamped with the microsecond it is sent.

A process of its own for bench.ingest. The first line printed is JSON: where to connect, the trades.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

from websockets.asyncio.server import ServerConnection, serve

from coinwatch.times import SECOND_US, now_us
from simulator.blast import BLAST_MARKETS
from simulator.wire import text_frame

PriceOf: TypeAlias = Callable[[float], float]

PRICE = 61_234.56
_FIRST_ID = 1_000_000_000


async def _send(connection: ServerConnection, count: int, per_s: int, price_of: PriceOf) -> None:
    natives = [f"{market.symbol.base}{market.symbol.quote}" for market in BLAST_MARKETS]
    await connection.recv()
    start_us = now_us()
    for number in range(count):
        due_us = start_us + number * SECOND_US // per_s
        # Asyncio's timers are coarse, and to spin would take a core from what is measured. A sleep that
        # ends late does no harm: the stamp is taken after it.
        time.sleep(max(0, due_us - now_us()) / SECOND_US)  # noqa: ASYNC251
        sent_us = now_us()
        native = natives[number % len(natives)]
        trade_id = _FIRST_ID + number // len(natives)
        price = price_of(number / per_s)
        payload = (
            f'{{"stream":"{native.lower()}@aggTrade","data":{{"e":"aggTrade","E":{sent_us},"s":"{native}",'
            f'"a":{trade_id},"p":"{price:.8f}","q":"0.01200000","f":{trade_id},"l":{trade_id},'
            f'"T":{sent_us},"m":true,"M":true}}}}'
        )
        connection.transport.write(text_frame(payload.encode()))
        await asyncio.sleep(0)
        if connection.transport.is_closing():
            return
    await connection.wait_closed()


async def serve_paced(count: int, per_s: int, price_of: PriceOf) -> None:
    """Send ``count`` trades, ``per_s`` a second, to each subscriber; ``price_of``: seconds to a price."""

    async def handle(connection: ServerConnection) -> None:
        await _send(connection, count, per_s, price_of)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        ready = {
            "ws_url": f"ws://{host}:{port}/binance",
            "trades": count,
            "markets": [str(m) for m in BLAST_MARKETS],
        }
        print(json.dumps(ready), flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve_paced(int(sys.argv[1]), int(sys.argv[2]), lambda _: PRICE))
