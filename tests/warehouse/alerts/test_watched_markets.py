"""Which markets armed alert rules need."""

from __future__ import annotations

import psycopg

from coinwatch.alerts import Above, NewRule
from coinwatch.records import Instrument, Market, MarketStatus, Symbol
from warehouse.alerts.rules import add_rule, remove_rule
from warehouse.alerts.watched_markets import listen_for_watches, watched_markets, watches_changed
from warehouse.markets import upsert_instruments

BTC_USDT = Symbol("BTC", "USDT")


async def watch(conn: psycopg.AsyncConnection, symbol: Symbol, exchange: str | None = None) -> int:
    rule = await add_rule(
        conn,
        NewRule(
            symbol=symbol,
            exchange=exchange,
            condition=Above(price=1.0),
            typed=str(symbol),
            client="bot",
        ),
    )
    return rule.id


async def list_market(conn: psycopg.AsyncConnection, name: str, status: MarketStatus) -> None:
    market = Market.canonical(name)
    await upsert_instruments(conn, [Instrument(market=market, native=name, status=status)])


async def test_nothing_is_watched(conn: psycopg.AsyncConnection) -> None:
    await list_market(conn, "binance:BTC-USDT", MarketStatus.ACTIVE)
    assert await watched_markets(conn) == set()


async def test_a_rule_on_one_exchange_needs_that_market_known_or_not(conn: psycopg.AsyncConnection) -> None:
    await list_market(conn, "kraken:BTC-USDT", MarketStatus.ACTIVE)
    for _ in range(3):
        await watch(conn, BTC_USDT, "okx")
    assert await watched_markets(conn) == {Market("okx", BTC_USDT)}


async def test_a_rule_on_any_exchange_needs_every_active_market_of_its_pair(
    conn: psycopg.AsyncConnection,
) -> None:
    await list_market(conn, "binance:BTC-USDT", MarketStatus.ACTIVE)
    await list_market(conn, "kraken:BTC-USDT", MarketStatus.ACTIVE)
    await list_market(conn, "htx:BTC-USDT", MarketStatus.DELISTED)
    await list_market(conn, "kraken:BTC-USD", MarketStatus.ACTIVE)
    await watch(conn, BTC_USDT)
    await watch(conn, BTC_USDT, "kraken")
    assert await watched_markets(conn) == {Market("binance", BTC_USDT), Market("kraken", BTC_USDT)}


async def test_a_pair_that_no_exchange_lists_needs_nothing(conn: psycopg.AsyncConnection) -> None:
    await watch(conn, Symbol("DOGE", "EUR"))
    assert await watched_markets(conn) == set()


async def test_rules_that_fired_or_went_need_nothing(conn: psycopg.AsyncConnection) -> None:
    fired = await watch(conn, BTC_USDT, "okx")
    await conn.execute("update alert_rules set armed = false where id = %s", (fired,))
    gone = await watch(conn, BTC_USDT, "kraken")
    await remove_rule(conn, gone, client="bot", connection=None)
    assert await watched_markets(conn) == set()


async def test_changes_are_reported_once(conn: psycopg.AsyncConnection) -> None:
    await listen_for_watches(conn)
    assert not await watches_changed(conn)
    rule_id = await watch(conn, BTC_USDT)
    assert await watches_changed(conn)
    assert not await watches_changed(conn)
    await remove_rule(conn, rule_id, client="bot", connection=None)
    assert await watches_changed(conn)
