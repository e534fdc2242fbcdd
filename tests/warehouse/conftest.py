"""A market to store something of, and a warehouse with rows in it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
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
