"""Rows of assets, sentiment and news, as their pipelines would store them."""

from __future__ import annotations

import json

from sqlalchemy import text

from coinwatch.times import to_datetime, utc_day
from tests.app.dashboard.stock import Stock


def assets(stock: Stock, picture: str = "") -> None:
    """Bitcoin with a month of metrics by two sources, and one asset without a watched market."""
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into assets
                    (id, symbol, name, categories, description, links, platforms, images, launched_on)
                values
                    ('bitcoin', 'btc', 'Bitcoin', '{Layer 1}', 'A <b>currency</b>.', :links,
                        '{"ethereum": "0x2260"}', :images, '2009-01-03'),
                    ('other', 'oth', 'Other & Sons', '{Meme}', null, '{}', '{}', '{}', null)"""),
            {
                "links": json.dumps({"website": ["https://bitcoin.org"], "bad": ["javascript:alert(1)"]}),
                "images": json.dumps({"coingecko": picture} if picture else {}),
            },
        )
        conn.execute(
            text("""insert into asset_bases (base, asset_id, decided_by, reason)
                values ('BTC', 'bitcoin', 'price', 'near')""")
        )
        conn.execute(
            text("""
                insert into asset_metrics (ts, asset_id, source, price_usd, market_cap_usd, rank, ath_usd,
                    circulating_supply, max_supply)
                select cast(:now as timestamptz) - make_interval(hours => h), 'bitcoin', 'coingecko',
                    67000 - h, 1.3e12, 1, 73700, 19.8e6, 21e6
                from generate_series(0, 200) as h
                union all
                select :now, 'bitcoin', 'coinmarketcap', 67100, 1.31e12, 1, null, null, null
                union all
                select :now, 'bitcoin', 'defillama', null, null, null, null, null, null
                union all
                select :now, 'other', 'coingecko', 0.00001234, 5e9, 30, 0.00002468, null, null"""),
            {"now": to_datetime(stock.now_us)},
        )
        conn.execute(text("update asset_metrics set tvl_usd = 7e9 where source = 'defillama'"))


def sentiment(stock: Stock) -> None:
    """A month of Fear & Greed and of two sources of BTC with their combination, and three articles."""
    parts = {
        "parts": [
            {"source": "news", "score": 0.4, "weight": 2.0, "items": 9, "of_market": False},
            {"source": "fear_greed", "score": -0.2, "weight": 1.0, "items": None, "of_market": True},
        ]
    }
    today = utc_day(stock.now_us)
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into sentiment (day, source, base, value, score, scale, items, detail)
                select d::date, source, base, value, score, scale, items, cast(detail as jsonb)
                from generate_series(cast(:first as date), :today, interval '1 day') as d
                cross join (values
                    ('fear_greed', null, 23, -0.54, '0..100', null, '{}'),
                    ('news', 'BTC', 0.4, 0.4, '-1..1', 9, '{}'),
                    ('x', 'BTC', 1200, null, 'posts', 1200, '{}'),
                    ('combined', 'BTC', 0.2, 0.2, '-1..1', 9, :parts)
                ) as day(source, base, value, score, scale, items, detail)"""),
            {
                "first": utc_day(stock.now_us - 30 * 86_400_000_000),
                "today": today,
                "parts": json.dumps(parts),
            },
        )
        for number, (title, bases, score) in enumerate(
            [("Bitcoin <b>soars</b>", ["BTC"], 0.8), ("Ether falls", ["ETH"], -0.6), ("Nothing", [], 0.0)]
        ):
            conn.execute(
                text("""
                    insert into news (published_at, score, url, source, outlet, title, model, bases, copies)
                    values (:at, :score, :url, 'news', 'Outlet', :title, 'vader', :bases, :copies)"""),
                {
                    "at": to_datetime(stock.now_us - number * 60_000_000),
                    "score": score,
                    "url": f"https://news.example/{number}",
                    "title": title,
                    "bases": bases,
                    "copies": json.dumps({"Mirror": "https://m.example"} if number == 0 else {}),
                },
            )


def alerts(stock: Stock) -> None:
    """A rule of the dashboard's that waits, and one that has fired, with markup in its note."""
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into alert_rules (client, base, quote, typed, note, armed, fired_at, condition)
                values ('dashboard', 'BTC', 'USDT', 'btcusdt', 'sell <b>half</b>', true, null,
                        '{"type": "above", "price": 70000}'),
                    ('dashboard', 'BTC', 'USDT', 'btcusdt', null, false, :at,
                        '{"type": "above", "price": 60000}')"""),
            {"at": to_datetime(stock.now_us)},
        )
        conn.execute(
            text("""
                insert into alert_events
                    (event_id, rule_id, client, symbol, exchange, trade_id, price, ts, message)
                values (1, 2, 'dashboard', 'BTC-USDT', 'kraken', 5, 67000.5, :at, 'Take <i>profit</i>')"""),
            {"at": to_datetime(stock.now_us)},
        )
        conn.execute(text("update alert_counter set last_event_id = 1"))
