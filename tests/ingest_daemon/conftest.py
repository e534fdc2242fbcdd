"""A daemon to test: in this process, or as the real program."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy
from prometheus_client.parser import text_string_to_metric_families

from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon import daemon
from ingest_daemon.context import DaemonContext
from tests.warehouse.service_logins import login
from warehouse.db import roles
from warehouse.db.connect import conninfo
from warehouse.embedded.ports import free_port

TickRow = tuple[str, str, Any, float, float, str, str]


class Daemon:
    """A running daemon and what it stored."""

    def __init__(self, settings: Settings, url: sqlalchemy.URL) -> None:
        self.settings = settings
        self.url = url
        self.stop = asyncio.Event()

    async def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(conninfo(self.url), autocommit=True) as conn:
            cursor = await conn.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def stored(self) -> int:
        return int((await self.query("select count(*) from ticks"))[0][0])

    async def ids(self, market: Market) -> list[int]:
        """The trade ids stored for ``market``, ordered."""
        rows = await self.query(
            "select trade_id::bigint from v_ticks where exchange = %s and symbol = %s order by 1",
            market.exchange,
            str(market.symbol),
        )
        return [trade_id for (trade_id,) in rows]

    async def health(self, market: Market) -> tuple[Any, ...]:
        """State and last error."""
        rows = await self.query(
            "select h.state, h.last_error from stream_health h join markets m on m.id = h.market_id"
            " where m.exchange = %s and m.symbol = %s",
            market.exchange,
            str(market.symbol),
        )
        return rows[0]

    async def get(self, path: str) -> str:
        url = f"http://{self.settings.metrics_host}:{self.settings.ingest_port}{path}"

        def fetch() -> str:
            with urllib.request.urlopen(url, timeout=5) as answer:
                body: bytes = answer.read()
                return body.decode()

        return await asyncio.to_thread(fetch)

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all samples that have ``labels``."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(await self.get("/metrics"))
            for sample in family.samples
            if sample.name == f"coinwatch_ingest_{name}" and labels.items() <= sample.labels.items()
        )


RunDaemon = Callable[..., AbstractAsyncContextManager[Daemon]]
MakeContext = Callable[..., DaemonContext]


@pytest.fixture
def make_context(settings_for: Callable[..., Settings], database: sqlalchemy.URL) -> MakeContext:
    """``make_context(daemon="a:1", markets=…)``: what the parts of a daemon share, with these settings."""

    def make(daemon: str | None = None, **overrides: Any) -> DaemonContext:
        return DaemonContext.create(settings_for(**overrides), login(database, roles.INGEST), daemon)

    return make


@pytest.fixture
def run_daemon(settings_for: Callable[..., Settings], database: sqlalchemy.URL) -> RunDaemon:
    """``async with run_daemon(markets=…, binance_ws_url=…) as daemon``: stopped cleanly at the end."""

    @asynccontextmanager
    async def running(**overrides: Any) -> AsyncIterator[Daemon]:
        settings = settings_for(**{"ingest_port": free_port(), **overrides})
        running_daemon = Daemon(settings, database)
        url = login(database, roles.INGEST)
        task = asyncio.create_task(daemon.run(settings, url, stop=running_daemon.stop))
        try:
            yield running_daemon
        finally:
            running_daemon.stop.set()
            await task

    return running
