"""Rows of what keeps the data well: checks, heartbeats, outlets and their deliveries."""

from __future__ import annotations

import json

from sqlalchemy import text

from coinwatch.times import DAY_US, utc_day
from tests.app.dashboard.stock import Stock

_DIFFERENCE = {"open_ts_us": 0, "ours": [1, 2, 1, 2, 5.25], "theirs": [1, 2, 1, 2, 5.5]}
_DAGSTER = {
    "runs_24h": {"success": 7, "failure": 2, "canceled": 0, "under_way": 1},
    "last_failure": {
        "job": "news_job",
        "run_id": "0a7f2d1c-1111-2222-3333-444455556666",
        "at": "2026-11-20T09:12:00+00:00",
        "text": "503 <b>Service Unavailable</b>",
    },
    "oldest_gap": {
        "market": "kraken:BTC-USDT",
        "from": "2026-11-02T03:00:00+00:00",
        "to": "2026-11-02T04:30:00+00:00",
        "markets_with_gaps": 1,
    },
}


def everything(stock: Stock, market_id: int) -> None:
    """Yesterday checked on two markets, Dagster's own row, and three outlets that do differently well."""
    yesterday = utc_day(stock.now_us - DAY_US)
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into candle_checks (market_id, day, state, repaired, detail)
                select id, :day, case when id = :differs then 'differs' else 'same' end, 0,
                    case when id = :differs then cast(:detail as jsonb) else '{}' end
                from markets
                where id = :differs or id = (select min(id) from markets where id <> :differs)"""),
            {"day": yesterday, "differs": market_id, "detail": json.dumps({"after": [_DIFFERENCE]})},
        )
        conn.execute(
            text("""insert into service_heartbeats (service, instance, started_at, beat_at, detail)
                values ('dagster', 'box', now(), now(), :detail)"""),
            {"detail": json.dumps(_DAGSTER)},
        )
        conn.execute(
            text("""
                insert into outlets (client, kind, url, secret, after_event_id, disabled_at, disabled_why)
                values ('desk', 'webhook', 'https://hook.example/1', 's', 0, null, null),
                    ('desk', 'apprise', 'json://hook.example/2', null, 0, null, null),
                    ('bot', 'webhook', 'https://hook.example/3', 's', 0, now(), '410 <gone>')""")
        )
        conn.execute(
            text("""
                insert into alert_events (event_id, rule_id, client, symbol, price, ts, message)
                select n, 1, 'desk', 'BTC-USDT', 9, now(), 'BTC-USDT rose above 9'
                from generate_series(1, 2) as n""")
        )
        conn.execute(
            text("""
                insert into deliveries
                    (event_id, outlet_id, state, attempts, delivered_at, http_status, error)
                select event, (select min(id) + place from outlets), state, 8,
                    case when state = 'delivered' then now() end, status, error
                from (values (1, 0, 'delivered', 200, null), (2, 0, 'dead', 500, 'it broke'),
                    (1, 1, 'waiting', null, 'no answer')) as delivery(event, place, state, status, error)""")
        )
