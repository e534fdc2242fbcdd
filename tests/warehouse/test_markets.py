from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.records import Instrument, Market, MarketStatus
from warehouse.connect import connect
from warehouse.markets import KnownMarket, ensure_markets, known_markets, markets_by_id, upsert_instruments

BTC = Market.canonical("binance:BTC-USDT")
ETH = Market.canonical("kraken:ETH-USD")


@pytest.fixture
async def conn(database: URL) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(database, application_name="test") as connection:
        yield connection


async def stored(conn: psycopg.AsyncConnection) -> dict[str, Any]:
    cursor = await conn.execute(
        "SELECT exchange || ':' || symbol, native, status, price_step, amount_step, "
        "delisted_at IS NOT NULL FROM markets"
    )
    return {row[0]: row[1:] for row in await cursor.fetchall()}


async def test_ids_stay(conn: psycopg.AsyncConnection) -> None:
    first = await ensure_markets(conn, {BTC: "BTCUSDT"})
    both = await ensure_markets(conn, {ETH: "ETH/USD", BTC: "something else"})
    assert both == {BTC: first[BTC], ETH: first[BTC] + 1}
    assert await markets_by_id(conn) == {market_id: market for market, market_id in both.items()}
    assert (await stored(conn))["binance:BTC-USDT"] == ("BTCUSDT", "active", None, None, False)
    assert await ensure_markets(conn, {}) == {}


async def test_daemons_starting_together_agree(database: URL) -> None:
    natives = {Market.canonical(f"binance:A{number}-USDT"): "x" for number in range(50)}

    async def daemon() -> dict[Market, int]:
        async with await connect(database, application_name="daemon") as own:
            return await ensure_markets(own, natives)

    answers = await asyncio.gather(*(daemon() for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == len(natives)


async def test_instruments_are_kept_current_and_never_deleted(conn: psycopg.AsyncConnection) -> None:
    ids = await ensure_markets(conn, {BTC: "btcusdt"})
    btc = Instrument(market=BTC, native="BTCUSDT", status=MarketStatus.ACTIVE, price_step=0.01)
    eth = Instrument(market=ETH, native="ETHUSD", status=MarketStatus.ACTIVE, amount_step=1e-8)
    assert await upsert_instruments(conn, [btc, eth, eth]) == (1, 1)
    assert await upsert_instruments(conn, [eth, btc]) == (0, 0)
    assert await stored(conn) == {
        "binance:BTC-USDT": ("BTCUSDT", "active", 0.01, None, False),
        "kraken:ETH-USD": ("ETHUSD", "active", None, 1e-8, False),
    }
    gone = msgspec.structs.replace(eth, status=MarketStatus.DELISTED, amount_step=None)
    assert await upsert_instruments(conn, [gone]) == (0, 1)
    assert (await stored(conn))["kraken:ETH-USD"] == ("ETHUSD", "delisted", None, 1e-8, True)
    assert await upsert_instruments(conn, [eth]) == (0, 1)
    assert (await stored(conn))["kraken:ETH-USD"] == ("ETHUSD", "active", None, 1e-8, False)
    assert await upsert_instruments(conn, []) == (0, 0)
    assert (await ensure_markets(conn, {BTC: ""})) == ids


async def test_what_is_known_of_each(conn: psycopg.AsyncConnection) -> None:
    ids = await ensure_markets(conn, {BTC: "BTCUSDT", ETH: "ETHUSD"})
    eth = Instrument(market=ETH, native="ETHUSD", status=MarketStatus.DELISTED, amount_step=1e-8)
    await upsert_instruments(conn, [eth])
    assert sorted(await known_markets(conn), key=lambda known: known.id) == [
        KnownMarket(ids[BTC], BTC, is_active=True, is_listed=False),
        KnownMarket(ids[ETH], ETH, is_active=False, is_listed=True),
    ]
