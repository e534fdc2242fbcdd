"""The processes between a trade and its alert: endpoint, daemon and subscribers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.alerts.endpoint import serve
from app.cli.commands.alerts import reduce_garbage_collection
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from ingest_daemon import daemon
from warehouse.db.connect import connect as connect_postgres
from warehouse.db.notifications import decode_notice
from warehouse.embedded.ports import free_port

SETTLING_S = 5
CONNECT_AT_ONCE = 100


async def _run_endpoint(given: dict[str, Any]) -> None:
    url = sqlalchemy.make_url(given["url"])
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url=given["url"],
            alerts_connections_per_address=20_000,
            alerts_port=given["port"],
            markets="binance:BTC-USDT",
        )
        reduce_garbage_collection()
        await serve(settings, url.set(drivername="postgresql+psycopg"), stop=asyncio.Event())


async def _run_daemon(given: dict[str, Any]) -> None:
    url = sqlalchemy.make_url(given["url"])
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url=given["url"],
            markets=",".join(given["markets"]),
            binance_ws_url=given["ws_url"],
            binance_rest_url=given["rest_url"],
            ingest_port=free_port(),
        )
        gc.collect()
        gc.freeze()
        await daemon.run(settings, url.set(drivername="postgresql+psycopg"), stop=asyncio.Event())


async def _run_subscribers(given: dict[str, Any]) -> None:
    """Clients that record when each alert arrived, or without clients a plain listener to commits.

    Messages are decoded at the end, so that decoding does not affect the measurement.
    """
    alerts: list[tuple[int, str | bytes]] = []
    heard: list[tuple[int, str]] = []
    enough = asyncio.Event()

    async def receive(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                alerts.append((now_us(), frame))
                if len(alerts) == given.get("count"):
                    enough.set()

    async def hear() -> None:
        url = sqlalchemy.make_url(given["url"]).set(drivername="postgresql+psycopg")
        async with await connect_postgres(url, application_name="bench listener") as conn:
            await conn.execute("listen ticks")
            async for notify in conn.notifies():
                heard.append((now_us(), notify.payload))

    async with AsyncExitStack() as stack:
        sockets = await open_sockets(
            stack, given["port"], [f"?client={name}" for name in given["clients"]], "deflate"
        )
        for socket in sockets:  # greeted, when it answers
            await socket.send('{"cmd":"ping"}')
            await socket.recv()
        tasks = [asyncio.create_task(work) for work in (map(receive, sockets) if sockets else [hear()])]
        print("ready", flush=True)
        if "count" in given:
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await enough.wait()
        else:
            await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
        alerts_ms = [_delay(at_us, _ts_us(json.loads(frame)["ts"])) for at_us, frame in alerts]
        heard_ms = [
            _delay(at_us, move.last_ts_us)
            for at_us, payload in heard
            for move in decode_notice(payload).moves
        ]
        first = [*alerts_ms[:1], *heard_ms[:1]]
        settled_us = first[0][0] + SETTLING_S * SECOND_US if first and "count" not in given else 0
        result = {
            "received": len(alerts_ms),
            "alert_ms": [ms for ts_us, ms in alerts_ms if ts_us >= settled_us],
            "heard_ms": [ms for ts_us, ms in heard_ms if ts_us >= settled_us],
        }
        print(json.dumps(result), flush=True)
        os._exit(0)  # a thousand closing handshakes measure nothing


PARTS = {"endpoint": _run_endpoint, "daemon": _run_daemon, "subscribers": _run_subscribers}


@contextmanager
def part(name: str, url: sqlalchemy.URL, **given: Any) -> Iterator[subprocess.Popen[str]]:
    """Run one of ``PARTS`` in its own process, and kill it at the end."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.alerts", "--part", name, json.dumps({**given, "url": address})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def open_sockets(
    stack: AsyncExitStack, port: int, queries: list[str], compression: str | None
) -> list[ClientConnection]:
    """Open a connection to the endpoint for each query, a hundred at a time."""
    sockets: list[ClientConnection] = []
    for start in range(0, len(queries), CONNECT_AT_ONCE):
        sockets += await asyncio.gather(
            *(
                stack.enter_async_context(
                    connect(
                        f"ws://127.0.0.1:{port}/ws{query}",
                        compression=compression,
                        ping_interval=None,
                        open_timeout=60,
                        close_timeout=0.1,
                    )
                )
                for query in queries[start : start + CONNECT_AT_ONCE]
            )
        )
    return sockets


def _delay(at_us: int, ts_us: int) -> tuple[int, float]:
    """The time of the trade, and the delay in milliseconds until it arrived."""
    return ts_us, (at_us - ts_us) / 1e3


def _ts_us(moment: str) -> int:
    return round(np.datetime64(moment.rstrip("Z"), "us").astype(np.int64))
