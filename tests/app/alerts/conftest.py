"""An alert endpoint in this process, and trades committed as the ingest daemon commits them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import URL
from websockets.asyncio.client import ClientConnection, connect

from app.alerts.endpoint import serve
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from tests.waiting import eventually
from tests.warehouse.service_logins import login
from warehouse.db import roles
from warehouse.db.connect import connect as connect_postgres
from warehouse.embedded.ports import free_port
from warehouse.markets import ensure_markets
from warehouse.trades.writer import TickWriter

MARKETS = ("binance:BTC-USDT", "kraken:BTC-USDT", "binance:BTC-USDC", "coinbase:ETH-USD")


DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "alert-protocol.md").read_text()
SCHEMA = json.loads((DOCS / "alert-protocol.schema.json").read_text())


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{name}"})


def check(name: str, frame: object) -> None:
    """Hold ``frame`` against the schema of the protocol."""
    _validator(name).validate(frame)


class Exchange:
    """Commits trades at the prices asked for, one commit a call."""

    def __init__(self, writer: TickWriter) -> None:
        self._writer = writer
        self._ids = itertools.count(1)

    async def trade(self, market: str, *prices: float, age_s: float = 0, late: bool = False) -> list[Trade]:
        trades = [self._trade(market, price, age_s) for price in prices]
        written = await self._writer.write(trades, late=late)
        assert written.inserted == len(trades)
        return trades

    def _trade(self, market: str, price: float, age_s: float) -> Trade:
        ts_us = now_us() - round(age_s * SECOND_US)
        return Trade(Market.canonical(market), next(self._ids), ts_us, price, 1.0, True)


class Client:
    """A plain websocket client, reading frames one by one."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def ask(self, **command: Any) -> dict[str, Any]:
        await self.socket.send(json.dumps(command))
        return await self.read()

    async def read(self, timeout_s: float = 60) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        check("frame", frame)
        return frame

    async def nothing_more(self) -> None:
        """By a ping: whatever was to be sent before would come before its answer."""
        answer = await self.ask(cmd="ping", id="nothing more")
        assert answer["id"] == "nothing more", answer


class Endpoint:
    """Where a running endpoint is, and how to end it."""

    def __init__(self, port: int, *, has_tls: bool = False) -> None:
        self.port = port
        self.stop = asyncio.Event()
        self._s = "s" if has_tls else ""

    @property
    def url(self) -> str:
        return f"ws{self._s}://127.0.0.1:{self.port}/ws"

    @property
    def prices_url(self) -> str:
        return f"ws{self._s}://127.0.0.1:{self.port}/prices"

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
            return await client.get(f"http{self._s}://127.0.0.1:{self.port}{path}", headers=headers)

    async def healthy(self) -> bool:
        return (await self.get("/healthz")).status_code == 200

    @asynccontextmanager
    async def client(self, query: str = "") -> AsyncIterator[Client]:
        async with connect(self.url + query, close_timeout=1) as socket:
            yield Client(socket)


@pytest.fixture
async def exchange(database: URL) -> AsyncIterator[Exchange]:
    async with await connect_postgres(database, application_name="test exchange") as conn:
        ids = await ensure_markets(conn, {Market.canonical(name): name for name in MARKETS})
        yield Exchange(TickWriter(conn, ids))


@pytest.fixture
def markets() -> tuple[str, ...]:
    """What the endpoints are set to collect."""
    return MARKETS


@pytest.fixture
def overrides() -> dict[str, object]:
    """Further settings of the endpoints."""
    return {}


@pytest.fixture
async def start(
    database: URL,
    settings_for: Callable[..., Settings],
    markets: tuple[str, ...],
    overrides: dict[str, object],
) -> AsyncIterator[Callable[[], Awaitable[Endpoint]]]:
    """Start endpoints on the test's database; they are stopped at its end."""
    async with AsyncExitStack() as stack:

        async def start_one() -> Endpoint:
            endpoint = Endpoint(free_port(), has_tls="alerts_tls_cert" in overrides)
            settings = settings_for(alerts_port=endpoint.port, markets=",".join(markets), **overrides)
            url = login(database, roles.ENDPOINT)
            serving = asyncio.create_task(serve(settings, url, stop=endpoint.stop))

            async def end() -> None:
                endpoint.stop.set()
                await serving

            stack.push_async_callback(end)
            await eventually(endpoint.healthy)
            return endpoint

        yield start_one


@pytest.fixture
async def endpoint(exchange: Exchange, start: Callable[[], Awaitable[Endpoint]]) -> Endpoint:
    return await start()
