"""Bases and metrics of assets, stored and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from coinwatch.assets import Metrics, MetricsSource
from coinwatch.averaging.average import Method
from coinwatch.times import MINUTE_US, from_datetime, to_datetime
from tests.stored import rows
from tests.warehouse.assets.coins import BITCOIN, CAT, ETHER, HOUR_US
from warehouse.assets.metrics import (
    Difference,
    bases,
    differing_from_ours,
    differing_sources,
    our_prices,
    store_bases,
    store_metrics,
)
from warehouse.assets.store import store_coins
from warehouse.db.partitions import ensure_average_days, ensure_candle_months

Conn = psycopg.AsyncConnection[Any]


async def test_storing_bases_counts_changed_assets(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER])
    first = [("BTC", "bitcoin", "price", "is at"), ("CAT", None, None, "no coin")]
    assert await store_bases(conn, first, HOUR_US) == 1
    assert await store_bases(conn, first, HOUR_US + MINUTE_US) == 0
    assert await store_bases(conn, [("BTC", "ethereum", "override", "by hand")], HOUR_US) == 1
    assert await store_bases(conn, [("BTC", None, None, "nothing fits")], HOUR_US) == 1
    stored = await bases(conn)
    assert {base: row[1:4] for base, row in stored.items()} == {
        "BTC": (None, None, "nothing fits"),
        "CAT": (None, None, "no coin"),
    }
    assert stored["CAT"].decided_at == to_datetime(HOUR_US + MINUTE_US)


async def test_an_hour_is_stored_once_and_by_source(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN])
    metrics = Metrics(price_usd=1.0, rank=1, ath_us=HOUR_US - 5, observed_us=HOUR_US + 7, change_24h=-0.5)
    everything = {"bitcoin": metrics, "unknown": metrics}
    assert await store_metrics(conn, MetricsSource.COINGECKO, HOUR_US, everything) == 1
    corrected = {"bitcoin": Metrics(price_usd=2.0, max_supply=21e6)}
    assert await store_metrics(conn, MetricsSource.COINGECKO, HOUR_US, corrected) == 1
    assert await store_metrics(conn, MetricsSource.COINMARKETCAP, HOUR_US, everything) == 1
    assert await store_metrics(conn, MetricsSource.DEFILLAMA, HOUR_US, {"bitcoin": Metrics(tvl_usd=9.0)}) == 1
    assert await store_metrics(conn, MetricsSource.DEFILLAMA, HOUR_US, {}) == 0
    query = (
        "select source, price_usd, rank, max_supply, ath_at, observed_at from asset_metrics order by source"
    )
    assert await rows(conn, query) == [
        ("coingecko", 2.0, None, 21e6, None, None),
        ("coinmarketcap", 1.0, 1, None, to_datetime(HOUR_US - 5), to_datetime(HOUR_US + 7)),
        ("defillama", None, None, None, None, None),
    ]
    view = "select source, price_usd, tvl_usd from v_asset_metrics order by ts"
    assert await rows(conn, view) == [("coingecko", 2.0, 9.0)]
    later = HOUR_US + 60 * MINUTE_US
    await store_metrics(conn, MetricsSource.COINMARKETCAP, later, {"bitcoin": Metrics(price_usd=3.0)})
    assert await rows(conn, view) == [("coingecko", 2.0, 9.0), ("coinmarketcap", 3.0, None)]


async def test_prices_that_differ_are_found(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER, CAT])
    await store_bases(conn, [("BTC", "bitcoin", "price", ""), ("ETH", "ethereum", "price", "")], HOUR_US)
    gecko = {
        "bitcoin": Metrics(price_usd=100.0),
        "ethereum": Metrics(price_usd=10.0),
        "simon-s-cat": Metrics(),
    }
    other = {
        "bitcoin": Metrics(price_usd=104.0),
        "ethereum": Metrics(price_usd=9.0),
        "simon-s-cat": Metrics(),
    }
    await store_metrics(conn, MetricsSource.COINGECKO, HOUR_US, gecko)
    await store_metrics(conn, MetricsSource.COINMARKETCAP, HOUR_US, other)
    assert await differing_sources(conn, HOUR_US, 0.05) == (2, [Difference("ethereum", 10.0, 9.0)])
    ours = {"BTC": 90.0, "ETH": 10.1, "CAT": 5.0}
    assert await differing_from_ours(conn, HOUR_US, ours, 0.05) == (2, [Difference("bitcoin", 100.0, 90.0)])
    assert await differing_from_ours(conn, HOUR_US + 1, ours, 0.05) == (0, [])


async def test_our_prices_are_averages_else_candles_and_never_old(conn: Conn) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    days = {(now - timedelta(hours=hours)).date() for hours in (0, 3)}
    await ensure_average_days(conn, days)
    await ensure_candle_months(conn, {day.replace(day=1) for day in days})
    await conn.execute(
        "insert into markets (exchange, symbol, base, quote, native) values"
        " ('a', 'BTC-USD', 'BTC', 'USD', ''), ('a', 'CAT-USD', 'CAT', 'USD', ''),"
        " ('b', 'CAT-USD', 'CAT', 'USD', ''), ('a', 'OLD-USD', 'OLD', 'USD', '')"
    )
    for base, hours, price in (("BTC", 0, 70.0), ("BTC", 1, 60.0), ("OLD", 3, 1.0)):
        await conn.execute(
            "insert into price_averages"
            " (ts, price, confidence, base, quote, method, state, exchanges, inputs)"
            " values (%s, %s, 0, %s, 'USD', %s, 'ok', '{}', '{}')",
            (now - timedelta(hours=hours), price, base, Method.MEDIAN.value),
        )
    for market, minutes, close in (("BTC", 1, 1.0), ("CAT", 5, 3.0), ("CAT", 90, 9.0), ("OLD", 180, 2.0)):
        await conn.execute(
            "insert into candles (market_id, interval, open_ts, open, high, low, close, volume)"
            " select id, '1m', date_trunc('minute', %(at)s), p, p, p, p, 1 from markets,"
            " (select %(close)s + 2 * (exchange = 'b')::int as p, id as m from markets) as at_b"
            " where base = %(base)s and id = m",
            {"at": now - timedelta(minutes=minutes), "close": close, "base": market},
        )
    prices = await our_prices(conn, from_datetime(now))
    assert sorted(prices) == [("BTC", "USD", 70.0), ("CAT", "USD", 4.0)]
