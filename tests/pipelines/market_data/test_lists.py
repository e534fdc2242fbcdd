"""Market lists and volumes against the simulator: stored once, delisted with care."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, LiteralString

import psycopg

from coinwatch.records import Instrument, Market, MarketStatus
from pipelines.market_data.collection.lists import InstrumentList, collect_instruments
from pipelines.market_data.report import lists_metadata
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit
from sources.http import HttpSource, Patience, exchange_http
from warehouse.markets import ListChanges, store_list, top_markets

Conn = psycopg.AsyncConnection[Any]


class NoTurns(LocalBudget):
    """Lets the first request of each exchange through, and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        if host in self.asked:
            await asyncio.Event().wait()
        self.asked.add(host)


@asynccontextmanager
async def clients_of(
    simulator: Simulator, *names: str, budget: LocalBudget | None = None
) -> AsyncIterator[dict[str, HttpSource]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                exchange_http(
                    EXCHANGES[name],
                    f"{simulator.rest_url}/{name}",
                    budget or LocalBudget(),
                    scale=1_000,
                    patience=Patience(attempts=2, first_wait_s=0.01),
                )
            )
            for name in names or EXCHANGES
        }


def instrument(name: str) -> Instrument:
    return Instrument(market=Market.canonical(name), native=name, status=MarketStatus.ACTIVE)


async def count(conn: Conn, condition: LiteralString) -> int:
    """How many markets fulfil ``condition``."""
    row = await (await conn.execute("select count(*) from markets where " + condition)).fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])


async def test_all_exchanges_are_asked_for_markets_and_volumes(conn: Conn, simulator: Simulator) -> None:
    async with clients_of(simulator) as clients:
        lists = await collect_instruments(conn, clients)
    assert list(lists) == sorted(EXCHANGES)
    assert not any(this.error or this.warnings for this in lists.values())
    total = sum(this.listed for this in lists.values())
    assert await count(conn, "true") == total == len(simulator.markets)
    assert {name for name, this in lists.items() if this.volumes != this.listed} == {"gemini"}
    assert await count(conn, "quote_volume_24h > 0") == total - lists["gemini"].listed
    assert await count(conn, "listed_at is not null") == lists["okx"].listed + lists["gateio"].listed
    best = await top_markets(conn, 10)
    assert len(best) == 10
    assert Market.canonical("binance:BTC-USDT") in best

    async with clients_of(simulator) as clients:
        again = await collect_instruments(conn, clients)
    assert {this.changes for this in again.values()} == {ListChanges()}


async def test_an_exchange_that_is_down_keeps_its_list(conn: Conn, simulator: Simulator) -> None:
    await store_list(conn, "kraken", [instrument("kraken:OLD-USD")])
    simulator.fail_rest("kraken", 503, times=10**6)
    async with clients_of(simulator, "kraken", "okx") as clients:
        lists = await collect_instruments(conn, clients)
    assert "HTTP 503" in (lists["kraken"].error or "")
    assert lists["kraken"].listed == 0
    assert lists["okx"].error is None
    assert await count(conn, "exchange = 'kraken' and status = 'active'") == 1
    assert simulator.requests["kraken/0/public/AssetPairs"] == 2
    assert simulator.requests["kraken/0/public/Ticker"] == 0, "who gives no list is not asked further"


async def test_a_market_that_left_the_list_is_delisted(conn: Conn, simulator: Simulator) -> None:
    await store_list(conn, "okx", [instrument("okx:GONE-USDT"), instrument("okx:BTC-USDT")])
    async with clients_of(simulator, "okx") as clients:
        lists = await collect_instruments(conn, clients)
    changes = lists["okx"].changes
    assert changes.delisted == (Market.canonical("okx:GONE-USDT"),)
    assert await count(conn, "status = 'delisted' and delisted_at is not null") == 1
    metadata = {name: value.value for name, value in lists_metadata(lists).items()}
    assert metadata["delisted"] == "okx:GONE-USDT"
    assert metadata["new"] == "okx:ETH-USDT, okx:LTC-USDT, okx:SOL-USDT, okx:XRP-USDT"
    assert metadata["rows_changed"] == 2  # the other got its steps

    await store_list(conn, "okx", [*map(instrument, ("okx:GONE-USDT", "okx:BTC-USDT", "okx:ETH-USDT"))])
    assert await count(conn, "status = 'active'") == 3


async def test_an_implausibly_short_list_is_a_warning(conn: Conn, simulator: Simulator) -> None:
    await store_list(conn, "okx", [instrument(f"okx:A{number}-USDT") for number in range(20)])
    async with clients_of(simulator, "okx") as clients:
        lists = await collect_instruments(conn, clients)
    [warning] = lists["okx"].warnings
    assert warning.startswith("okx: 20 active markets are absent from its list of 5")
    assert await count(conn, "status = 'active'") == 25
    assert "too many at once" in str(lists_metadata(lists)["by_exchange"].value)


async def test_volumes_that_fail_leave_the_list(conn: Conn, simulator: Simulator) -> None:
    """An exchange without budget in time is reported, and its stored volumes are kept."""
    async with clients_of(simulator, "okx", "htx", budget=NoTurns()) as clients:
        lists = await collect_instruments(conn, clients, within_s=1.0)
    assert lists["okx"].listed == 5
    [warning] = lists["okx"].warnings
    assert warning == "okx: /api/v5/market/tickers: no answer within 1 s; its last volumes are kept"
    assert await count(conn, "exchange = 'okx'") == 5


def test_long_lists_of_names_are_shortened() -> None:
    many = tuple(Market.canonical(f"okx:A{number:02}-USDT") for number in range(14))
    lists = {
        "htx": InstrumentList(error="htx: HTTP 500 | gone\nfor good"),
        "okx": InstrumentList(listed=14, changes=ListChanges(inserted=14, new=many), volumes=3),
    }
    metadata = {name: value.value for name, value in lists_metadata(lists).items()}
    assert str(metadata["new"]).startswith("okx:A00-USDT, okx:A01-USDT, ")
    assert str(metadata["new"]).endswith("okx:A09-USDT and 4 more")
    assert (metadata["back"], metadata["delisted"]) == ("none", "none")
    table = str(metadata["by_exchange"]).splitlines()
    assert table[2:] == ["| htx | | | | | htx: HTTP 500 \\| gone for good |", "| okx | 14 | 14 | 0 | 3 |  |"]
