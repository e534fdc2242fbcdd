"""The alerts of a good client while everything that reads outside input is given invalid input."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from statistics import quantiles

import pytest
from psycopg import AsyncConnection

from tests.app.alerts.access.test_rate_limits import client_frame, opened
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.app.alerts.test_commands import Environment, environment
from tests.app.alerts.test_fuzz import faults as logged_faults
from tests.app.alerts.test_fuzz import running
from tests.conftest import PROJECT
from tests.fuzzing.http_answers import SECRET, hostile_server
from warehouse.alerts import deliveries as stored
from warehouse.alerts.deliveries import Kind

__all__ = ["environment"]

log = logging.getLogger(__name__)

INPUTS = 200_000
ALERTS = 600
"""At least so many, so that the slowest hundredth is more than a few."""
EVERY_S = 0.05
SETTINGS = {"COINWATCH_WEBHOOKS_ALLOW_PRIVATE": "true", "COINWATCH_LOG_LEVEL": "warning"}
P99_S = 0.050
ATTACKERS = 2
PAUSE_S = 0.2
FLOODS = (
    client_frame(0x1, b"", fin=False) + client_frame(0x0, b"", fin=False) * 20_000,
    client_frame(0x1, b"") * 20_000,
    client_frame(0x9, b"") * 20_000,
    client_frame(0x1, b"[" * 60_000),
    client_frame(0x1, b'{"cmd":"watch","price":' + b"9" * 60_000 + b"}"),
)


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_alerts_stay_fast_while_200_000_invalid_inputs_are_read(
    environment: Environment, exchange: Exchange, conn: AsyncConnection, tmp_path: Path
) -> None:
    """Frames and answers are read by a process of their own, as an ingest daemon and pipelines are.

    The endpoint is flooded by clients, and delivers every alert to a receiver whose answers are invalid.
    """
    output = tmp_path / "log"
    async with (
        running(environment, output, SETTINGS) as (endpoint, process),
        hostile_server(Random("receiver")) as receiver,
        fuzzing(tmp_path / "faults") as fuzz,
    ):
        url = f"{receiver.url}/hook"
        await stored.add_outlet(conn, client="good", kind=Kind.WEBHOOK, url=url, secret=SECRET)
        async with asyncio.TaskGroup() as tasks:
            attackers = [tasks.create_task(attack(endpoint, seed)) for seed in range(ATTACKERS)]
            delays_s = await alerts_of_good_client(endpoint, exchange, fuzz)
            for attacker in attackers:
                attacker.cancel()
        delivered = await stored.recent_deliveries(conn, limit=10_000)
        assert process.is_running()
    *_, p99_s = quantiles(delays_s, n=100)
    log.info(
        f"{len(delays_s)} alerts: median {quantiles(delays_s, n=2)[0] * 1e3:.1f} ms, "
        f"p99 {p99_s * 1e3:.1f} ms, longest {max(delays_s) * 1e3:.1f} ms"
    )
    assert (tmp_path / "faults").read_text() == f"{INPUTS} inputs\n"
    assert fuzz.returncode == 0
    assert not logged_faults(output)
    assert any(row.attempts for row in delivered)
    assert p99_s < P99_S


@asynccontextmanager
async def fuzzing(output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that reads 200,000 invalid inputs; it is waited for at the end."""
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fuzzing.run", str(INPUTS), "1"), cwd=PROJECT, stdout=file
        )
        try:
            yield process
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def alerts_of_good_client(
    endpoint: Endpoint, exchange: Exchange, fuzz: asyncio.subprocess.Process
) -> list[float]:
    """The times from the commit of a trade to its alert, until ``fuzz`` has ended."""
    delays_s: list[float] = []
    async with endpoint.client("?client=good") as client:
        while fuzz.returncode is None or len(delays_s) < ALERTS:
            price = 1_000.0 + len(delays_s)
            await client.ask(cmd="watch", symbol="binance:btcusdt", price=price)
            await exchange.trade("binance:BTC-USDT", price - 1)
            began_s = time.monotonic()
            await exchange.trade("binance:BTC-USDT", price)
            frame = json.loads(await client.socket.recv())
            delays_s.append(time.monotonic() - began_s)
            assert (frame["type"], frame["price"]) == ("alert", price)
            await asyncio.sleep(EVERY_S)
    return delays_s


async def attack(endpoint: Endpoint, seed: int) -> None:
    """Connect, flood until the endpoint ends the connection, and connect again."""
    random = Random(f"attack {seed}")
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await opened(endpoint)
            try:
                writer.write(random.choice(FLOODS))
                async with asyncio.timeout(1):
                    await reader.read()
            finally:
                writer.close()
        await asyncio.sleep(PAUSE_S)
