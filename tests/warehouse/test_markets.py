from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.records import Instrument, Market, MarketStatus
from coinwatch.times import DAY_US, now_us, to_datetime
from warehouse.db.connect import connect
from warehouse.markets import (
    KnownMarket,
    ListChanges,
    ensure_markets,
    known_markets,
    markets_by_id,
    store_list,
    store_volumes,
    top_markets,
    upsert_instruments,
)

BTC = Market.canonical("binance:BTC-USDT")
ETH = Market.canonical("kraken:ETH-USD")


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
    assert await upsert_instruments(conn, [btc, eth, eth]) == ListChanges(inserted=1, changed=1, new=(ETH,))
    assert await upsert_instruments(conn, [eth, btc]) == ListChanges()
    assert await stored(conn) == {
        "binance:BTC-USDT": ("BTCUSDT", "active", 0.01, None, False),
        "kraken:ETH-USD": ("ETHUSD", "active", None, 1e-8, False),
    }
    gone = msgspec.structs.replace(eth, status=MarketStatus.DELISTED, amount_step=None)
    assert await upsert_instruments(conn, [gone]) == ListChanges(changed=1, delisted=(ETH,))
    assert (await stored(conn))["kraken:ETH-USD"] == ("ETHUSD", "delisted", None, 1e-8, True)
    assert await upsert_instruments(conn, [eth]) == ListChanges(changed=1, back=(ETH,))
    assert (await stored(conn))["kraken:ETH-USD"] == ("ETHUSD", "active", None, 1e-8, False)
    assert await upsert_instruments(conn, []) == ListChanges()
    assert (await ensure_markets(conn, {BTC: ""})) == ids


async def test_what_is_known_of_each(conn: psycopg.AsyncConnection) -> None:
    ids = await ensure_markets(conn, {BTC: "BTCUSDT", ETH: "ETHUSD"})
    eth = Instrument(market=ETH, native="ETHUSD", status=MarketStatus.DELISTED, amount_step=1e-8)
    await upsert_instruments(conn, [eth])
    assert sorted(await known_markets(conn), key=lambda known: known.id) == [
        KnownMarket(ids[BTC], BTC, is_active=True, is_listed=False),
        KnownMarket(ids[ETH], ETH, is_active=False, is_listed=True),
    ]


def listed(name: str, status: MarketStatus = MarketStatus.ACTIVE, listed_us: int | None = None) -> Instrument:
    market = Market.canonical(name)
    native = f"{market.symbol.base}{market.symbol.quote}"
    return Instrument(market=market, native=native, status=status, listed_us=listed_us)


async def states(conn: psycopg.AsyncConnection) -> dict[str, tuple[str, bool, bool]]:
    """By market: status, and whether it has a time of listing and of delisting."""
    cursor = await conn.execute(
        "SELECT exchange || ':' || symbol, status, listed_at IS NOT NULL, delisted_at IS NOT NULL "
        "FROM markets"
    )
    return {name: (status, *times) for name, status, *times in await cursor.fetchall()}


A, B, C, D = (f"okx:{base}-USDT" for base in "ABCD")
MARKET = {name: Market.canonical(name) for name in (A, B, C, D)}


async def test_markets_missing_from_a_list_are_delisted_and_return(conn: psycopg.AsyncConnection) -> None:
    everywhere = [listed(name) for name in (A, B, C)]
    changes = await store_list(conn, "okx", everywhere)
    assert changes == ListChanges(inserted=3, new=tuple(MARKET[name] for name in (A, B, C)))
    await upsert_instruments(conn, [listed("mexc:A-USDT")])
    ids = await markets_by_id(conn)

    changes = await store_list(conn, "okx", [listed(A), listed(B, MarketStatus.DELISTED), listed(D)])
    assert changes == ListChanges(inserted=1, changed=2, new=(MARKET[D],), delisted=(MARKET[B], MARKET[C]))
    assert await states(conn) == {
        A: ("active", False, False),
        B: ("delisted", False, True),
        C: ("delisted", False, True),
        D: ("active", False, False),
        "mexc:A-USDT": ("active", False, False),
    }
    assert (
        await store_list(conn, "okx", [listed(A), listed(B, MarketStatus.DELISTED), listed(D)])
        == ListChanges()
    )

    changes = await store_list(conn, "okx", [listed(name) for name in (A, B, C, D)])
    assert changes == ListChanges(changed=2, back=(MARKET[B], MARKET[C]))
    assert set((await states(conn)).values()) == {("active", False, False)}
    assert set(ids) <= set(await markets_by_id(conn))


@pytest.mark.parametrize(
    "short",
    [[], [listed(A)], [listed(A), *(listed(name, MarketStatus.DELISTED) for name in (B, C, D))]],
    ids=["empty", "cut", "at rest"],
)
async def test_a_list_too_short_delists_nothing(
    conn: psycopg.AsyncConnection, short: list[Instrument]
) -> None:
    await store_list(conn, "okx", [listed(name) for name in (A, B, C, D)])
    changes = await store_list(conn, "okx", short)
    assert changes == ListChanges(doubted=3 if short else 4)
    assert {status for status, _, _ in (await states(conn)).values()} == {"active"}
    changes = await store_list(conn, "okx", [listed(A), listed(B)])
    assert changes == ListChanges(changed=2, delisted=(MARKET[C], MARKET[D]))


async def test_a_market_announced_is_new_when_it_is_traded(conn: psycopg.AsyncConnection) -> None:
    tomorrow = now_us() + DAY_US
    await store_list(conn, "okx", [listed(A, listed_us=1_548_133_413_000_000)])
    announced = listed(B, MarketStatus.DELISTED, tomorrow)
    changes = await store_list(conn, "okx", [listed(A), announced])
    assert changes == ListChanges(inserted=1)
    assert await states(conn) == {A: ("active", True, False), B: ("delisted", True, False)}
    changes = await store_list(conn, "okx", [listed(A), listed(B, listed_us=tomorrow + 1)])
    assert changes == ListChanges(changed=1, new=(MARKET[B],))
    row = await (await conn.execute("SELECT listed_at FROM markets WHERE base = 'B'")).fetchone()
    assert row == (to_datetime(tomorrow + 1),)
    # Who streamed a market before its list was read knew of it before.
    await ensure_markets(conn, {MARKET[C]: "C-USDT"})
    assert (await store_list(conn, "okx", [listed(A), listed(B), listed(C)])).new == ()


async def test_lists_stored_at_once_by_several_agree(database: URL) -> None:
    names = [f"okx:A{number}-USDT" for number in range(60)]

    async def store(random: Random) -> None:
        async with await connect(database, application_name="run") as own:
            for turn in range(30):
                await store_list(own, "okx", [listed(name) for name in random.sample(names, 40)])
                await store_volumes(own, "okx", {f"A{number}USDT": number + turn for number in range(60)})
                await ensure_markets(own, {Market.canonical(name): "" for name in random.sample(names, 3)})

    await asyncio.gather(*(store(Random(seed)) for seed in range(4)))
    async with await connect(database, application_name="test") as conn:
        await store_list(conn, "okx", [listed(name) for name in names])
        assert [status for status, _, _ in (await states(conn)).values()] == ["active"] * 60


async def test_reported_changes_match_the_stored_changes(conn: psycopg.AsyncConnection) -> None:
    random = Random(4)
    names = [f"okx:A{number}-USDT" for number in range(12)]
    before: dict[Market, bool] = {}
    for _ in range(60):
        shown = random.sample(names, random.randint(0, len(names)))
        given = [listed(name, random.choice([*MarketStatus, MarketStatus.ACTIVE])) for name in shown]
        changes = await store_list(conn, "okx", given)
        after = {known.market: known.is_active for known in await known_markets(conn)}
        assert set(before) <= set(after), "none is ever deleted"
        assert set(changes.new) == {m for m, active in after.items() if active and m not in before}
        assert set(changes.back) == {m for m, active in after.items() if active and before.get(m) is False}
        assert set(changes.delisted) == {m for m, active in before.items() if active and not after[m]}
        assert changes.inserted == len(after) - len(before)
        traded = {instrument.market for instrument in given if instrument.status is MarketStatus.ACTIVE}
        assert all(after[market] for market in traded)
        if not changes.doubted:
            assert {m for m, active in after.items() if active} == traded
        else:
            assert 2 * len(traded) < sum(before.values())
            assert changes.delisted == ()
        before = after


async def test_volumes_by_native_name(conn: psycopg.AsyncConnection) -> None:
    await store_list(conn, "okx", [listed(A), listed(B), listed(C)])
    await store_list(conn, "mexc", [listed("mexc:A-USDT")])
    assert await store_volumes(conn, "okx", {"AUSDT": 5.0, "BUSDT": 0.0, "NOPE": 9.0}) == 2
    assert await store_volumes(conn, "okx", {"AUSDT": 5.0, "BUSDT": 7.0}) == 1
    assert await store_volumes(conn, "okx", {}) == 0
    cursor = await conn.execute("SELECT exchange || ':' || symbol, quote_volume_24h FROM markets")
    assert dict(await cursor.fetchall()) == {A: 5.0, B: 7.0, C: None, "mexc:A-USDT": None}


async def test_the_top_by_volume(conn: psycopg.AsyncConnection) -> None:
    volumes = {
        "binance:BTC-USDT": 900.0,
        "kraken:BTC-EUR": 700.0,
        "coinbase:BTC-USD": 700.0,
        "bybit:BTC-USDC": 600.0,
        "binance:ETH-BTC": 10_000.0,
        "binance:OLD-USDT": 5_000.0,
        "nowhere:BTC-USDT": 5_000.0,
        "gemini:BTC-USD": None,
        "htx:DEAD-USDT": 0.0,
    }
    for name, volume in volumes.items():
        status = MarketStatus.DELISTED if "OLD" in name else MarketStatus.ACTIVE
        instrument = listed(name, status)
        await upsert_instruments(conn, [instrument])
        if volume is not None:
            await store_volumes(conn, instrument.market.exchange, {instrument.native: volume})
    best = ["binance:BTC-USDT", "coinbase:BTC-USD", "kraken:BTC-EUR", "bybit:BTC-USDC"]
    assert list(map(str, await top_markets(conn, 10))) == best
    assert list(map(str, await top_markets(conn, 2))) == best[:2]
    assert await top_markets(conn, 0) == []
