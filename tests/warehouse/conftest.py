"""A market to store something of, a warehouse with rows in it, and embedded servers to start."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
from tests.warehouse.embedded.servers import FAST, MakeServer
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.markets import ensure_markets

MARKET = Market.canonical("binance:BTC-USDT")
START_US = 20_000 * DAY_US
NOON_US = 1_795_176_000 * SECOND_US
"""A noon, UTC."""


def minutes(first: int, end: int) -> Window:
    """Counted from ``START_US``."""
    return Window(START_US + first * MINUTE_US, START_US + end * MINUTE_US)


@pytest.fixture
async def market_id(conn: psycopg.AsyncConnection) -> int:
    """That of ``MARKET``."""
    return (await ensure_markets(conn, {MARKET: "BTCUSDT"}))[MARKET]


@pytest.fixture
def stock(database: URL) -> Iterator[Stock]:
    """An empty warehouse to fill, at ``NOON_US``."""
    stock = Stock.open(database, NOON_US)
    yield stock
    stock.close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that has run once."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("stopped") / "postgres", FAST)
    server.start()
    server.stop()
    return server.folder


@pytest.fixture
def make_server(tmp_path: Path, stopped: Path) -> Iterator[MakeServer]:
    """Make a server to start; ``new`` ones have no folder yet, others a copy of ``stopped``."""
    made = []

    def make(folder: Path = tmp_path / "postgres", *, new: bool = False, **options: str) -> EmbeddedPostgres:
        if not new:
            folder.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(stopped), str(folder)], check=True)
        made.append(EmbeddedPostgres(folder, FAST | options))
        return made[-1]

    yield make
    for server in made:
        server.stop()
