"""As bench.paced, at a price that rises a little with each trade: rules above it fire at a steady rate.

A process of its own for bench.alerts. The first line printed is JSON: where to connect, the trades.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from websockets.asyncio.server import ServerConnection, serve

from coinwatch.times import SECOND_US, now_us
from simulator.blast import BLAST_MARKETS
from simulator.wire import text_frame

FIRST_PRICE = 50_000.0
RISE_PER_S = 8e-6
"""Of the price. Of 100,000 rules evenly within 2 % of it on either side, 20 are reached each second."""
_FIRST_ID = 1_000_000_000


async def _send(connection: ServerConnection, count: int, per_s: int) -> None:
    natives = [f"{market.symbol.base}{market.symbol.quote}" for market in BLAST_MARKETS]
    await connection.recv()
    start_us = now_us()
    for number in range(count):
        due_us = start_us + number * SECOND_US // per_s
        time.sleep(max(0, due_us - now_us()) / SECOND_US)  # noqa: ASYNC251  # as in bench.paced
        sent_us = now_us()
        native = natives[number % len(natives)]
        trade_id = _FIRST_ID + number // len(natives)
        price = FIRST_PRICE * (1 + RISE_PER_S * number / per_s)
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


async def _serve(count: int, per_s: int) -> None:
    async def handle(connection: ServerConnection) -> None:
        await _send(connection, count, per_s)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        ready = {
            "ws_url": f"ws://{host}:{port}/binance",
            "trades": count,
            "markets": [str(market) for market in BLAST_MARKETS],
        }
        print(json.dumps(ready), flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
