"""Watches on sentiment and on data health: sent again when the condition is met again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.times import SECOND_US, now_us
from tests.app.alerts.conftest import Client, Endpoint, Exchange
from tests.app.alerts.evaluation.test_conditions import GAP, market_id, run
from tests.waiting import eventually
from warehouse.db.connect import conninfo

Start = Callable[[], Awaitable[Endpoint]]
BTC, KRAKEN = "binance:BTC-USDT", "kraken:BTC-USDT"
EVERY = {"repeat": "every"}
SENTIMENT = """
insert into sentiment (day, source, base, value, score, scale)
values (current_date - %s::int, %s, %s, %s, %s, %s)
on conflict (day, source, base) do update set value = excluded.value, score = excluded.score
"""


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.alerts.evaluation.polled_inputs.AGAIN_US", SECOND_US // 2)


def greed(database: URL, days_ago: int, value: float) -> None:
    run(database, SENTIMENT, days_ago, "fear_greed", None, value, value / 50 - 1, "0..100")


def sentiment(database: URL, days_ago: int, base: str, score: float) -> None:
    run(database, SENTIMENT, days_ago, "combined", base, None, score, "-1..1")


def heard(database: URL, market: str, seconds_ago: int) -> None:
    run(
        database,
        "insert into stream_health (market_id, state, last_received_at)"
        " values (%s, 'live', now() - make_interval(secs => %s)) on conflict (market_id)"
        " do update set last_received_at = excluded.last_received_at",
        market_id(database, market),
        seconds_ago,
    )


def close_gaps(database: URL) -> None:
    run(database, "update stream_gaps set state = 'filled', closed_at = now()")


def are_armed(database: URL, *rules: dict[str, Any]) -> bool:
    """Whether what they have received of is over for all of them."""
    with psycopg.connect(conninfo(database)) as conn:
        rows = conn.execute(
            "select coalesce((state->>'waiting')::bool, false) from alert_rules where id = any(%s)",
            [[rule["rule_id"] for rule in rules]],
        ).fetchall()
    return rows == [(False,)] * len(rules)


async def received(client: Client, count: int) -> dict[int, dict[str, Any]]:
    alerts = [await client.read() for _ in range(count)]
    return {alert["rule_id"]: alert for alert in alerts}


async def test_sentiment_at_its_level_or_beyond(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    greed(database, 3, 50)
    sentiment(database, 3, "BTC", 0.0)
    sentiment(database, 3, "ETH", 0.9)
    async with endpoint.client() as client:
        wishes: dict[str, dict[str, Any]] = {
            "fear": {"condition": {"type": "fear_greed", "level": 20, "direction": "below"}},
            "greed": {"condition": {"type": "fear_greed", "level": 80, "direction": "above"}},
            "good": {
                "condition": {"type": "sentiment", "level": 0.3, "direction": "above"},
                "symbol": "btcusdt",
            },
            "bad": {"condition": {"type": "sentiment", "level": -0.3, "direction": "below"}, "symbol": BTC},
        }
        rules = {
            name: (await client.ask(cmd="watch", **wish, **EVERY))["rule_id"] for name, wish in wishes.items()
        }
        for days_ago, index, score in ((2, 20.0, 0.3), (1, 85.0, -0.8), (0, 12.0, 0.5)):
            greed(database, days_ago, index)
            sentiment(database, days_ago, "BTC", score)
            low = index < 50
            alerts = await received(client, 2)
            assert {number: alert["value"] for number, alert in alerts.items()} == {
                rules["fear" if low else "greed"]: index,
                rules["good" if score > 0 else "bad"]: score,
            }
        await client.nothing_more()


async def test_silence_and_gaps_of_the_markets_that_have_them(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    for market, age_s in ((BTC, 0), (KRAKEN, 2_000)):
        heard(database, market, 0)
        await exchange.trade(market, 100, age_s=age_s)
    async with endpoint.client() as client:
        silent = {"type": "silent", "for": "1h"}
        wishes: list[dict[str, Any]] = [
            {"symbol": "btcusdt", "condition": silent, **EVERY},
            {"symbol": BTC, "condition": silent},
            {"symbol": "btcusdt", "condition": silent, "confirmed_on": 2},
            {"symbol": "btcusdt", "condition": {"type": "gap"}, **EVERY},
            {"symbol": BTC, "condition": {"type": "gap"}},
        ]
        anywhere, here, both, gap, gap_here = [await client.ask(cmd="watch", **wish) for wish in wishes]
        for _ in range(2):
            heard(database, KRAKEN, 4_000)
            run(database, GAP, market_id(database, KRAKEN))
            alerts = await received(client, 2)
            assert {number: alert["exchange"] for number, alert in alerts.items()} == {
                anywhere["rule_id"]: "kraken",
                gap["rule_id"]: "kraken",
            }
            assert alerts[anywhere["rule_id"]]["value"] >= 4_000
            assert alerts[gap["rule_id"]]["degraded"]
            heard(database, KRAKEN, 0)
            close_gaps(database)
            await eventually(lambda: are_armed(database, anywhere, gap))
        await client.nothing_more()
        heard(database, KRAKEN, 4_000)
        assert set(await received(client, 1)) == {anywhere["rule_id"]}
        heard(database, BTC, 4_000)
        run(database, GAP, market_id(database, BTC))
        alerts = await received(client, 4)
        assert set(alerts) == {here["rule_id"], both["rule_id"], gap["rule_id"], gap_here["rule_id"]}
        assert alerts[here["rule_id"]]["message"] == "BTC-USDT at 100 on binance: silent for 1h"
        await client.nothing_more()


async def test_what_has_no_past_is_not_previewed(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        for condition in (
            {"type": "silent", "for": "1m"},
            {"type": "gap"},
            {"type": "fear_greed", "level": 20, "direction": "below"},
            {"type": "any", "of": [{"type": "sentiment", "level": 0, "direction": "below"}]},
        ):
            refused = await client.ask(cmd="preview", symbol=BTC, condition=condition, since="1h")
            assert refused["code"] == "bad_condition"
            assert "is not stored" in refused["message"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"template": "{symbol} {prise}"}, "bad_template", "unknown placeholder '{prise}'"),
    ({"template": "{price:.2f}"}, "bad_template", "a brace outside a placeholder"),
    ({"template": "{price"}, "bad_template", "a brace outside a placeholder"),
    ({"symbol": BTC, "confirmed_on": 2}, "bad_confirmed_on", "is on one exchange"),
    (
        {"condition": {"type": "above", "price": 1, "source": "average"}, "confirmed_on": 2},
        "bad_confirmed_on",
        "exchanges can only confirm",
    ),
    (
        {"condition": {"type": "crosses", "price": 1}, "confirmed_on": 2},
        "bad_confirmed_on",
        "met for a moment only",
    ),
    ({"repeat": "candle"}, "bad_repeat", "go together"),
    ({"candle": "1h"}, "bad_repeat", "go together"),
    (
        {"condition": {"type": "above", "price": 1, "source": "candle"}},
        "bad_interval",
        "go together",
    ),
    ({"expires": "2020-01-01T00:00:00Z"}, "bad_expires", "expires is"),
    ({"quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Mars"}}, "bad_quiet_hours", "tz is"),
    ({"hysteresis": -1}, "bad_hysteresis", "hysteresis is -1"),
    ({"condition": {"type": "crosses", "price": 1}, "holds_for": "1m"}, "bad_holds_for", "cannot hold"),
]


async def test_terms_that_cannot_be_kept_are_refused(endpoint: Endpoint) -> None:
    async with endpoint.client() as client:
        for terms, code, text in REFUSED:
            wish = {"symbol": "btcusdt", "condition": {"type": "above", "price": 1}, **terms}
            for command in ({"cmd": "watch"}, {"cmd": "preview", "since": "1h"}):
                refused = await client.ask(**command, **wish)
                assert (refused["code"], text in refused["message"]) == (code, True), refused
                assert refused["hint"]


async def test_crossings_in_a_gap_are_sent_late_once_it_is_filled(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    async with endpoint.client() as client:
        conditions = (
            {"type": "above", "price": 100},
            {"type": "crosses", "price": 100, "direction": "up"},
            {"type": "change", "percent": 5, "within": "1h", "direction": "fall"},
            {"type": "all", "of": [{"type": "above", "price": 91}, {"type": "below", "price": 93}]},
            {"type": "below", "price": 98},
        )
        rules = [await client.ask(cmd="watch", symbol=BTC, condition=condition) for condition in conditions]
        numbers = [rule["rule_id"] for rule in rules]
        await exchange.trade(BTC, 99)
        run(database, GAP, market_id(database, BTC))
        missed_us = now_us()
        await exchange.trade(BTC, 98)
        below = await client.read()
        assert (below["rule_id"], below["degraded"], "late" in below) == (numbers[-1], True, False)
        close_gaps(database)
        age_s = (now_us() - missed_us) / SECOND_US
        await exchange.trade(BTC, 101, 92, age_s=age_s, late=True)
        alerts = await received(client, 4)
        assert [alerts[number]["price"] for number in numbers[:-1]] == [101, 101, 92, 92]
        assert all(alert["late"] and "degraded" not in alert for alert in alerts.values())
        await exchange.trade(BTC, 102, 92)
        await client.nothing_more()
