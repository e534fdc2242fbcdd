"""Conditions and terms, from a client's wish to what it is sent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.averaging.average import Average, Method, State
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us, utc_day
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.app.alerts.evaluation.test_evaluator import events, not_answering
from tests.waiting import eventually
from warehouse.averages.store import PairAverage, write_averages
from warehouse.db.connect import connect, conninfo
from warehouse.db.partitions import ensure_average_days

Start = Callable[[], Awaitable[Endpoint]]
BTC = "binance:BTC-USDT"
GAP = "insert into stream_gaps (market_id, daemon, cause, after_ts) values (%s, 'd', 'disconnect', now())"


def run(database: URL, statement: str, *values: object) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as conn:
        conn.execute(statement, values)


def market_id(database: URL, market: str) -> int:
    exchange, symbol = market.split(":")
    with psycopg.connect(conninfo(database)) as conn:
        row = conn.execute(
            "select id from markets where exchange = %s and symbol = %s", (exchange, symbol)
        ).fetchone()
    assert row is not None
    number: int = row[0]
    return number


async def test_each_time_and_not_before_it_has_come_back(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        rule = await client.ask(cmd="watch", symbol="btcusdt", price=100, repeat="every", hysteresis=1)
        for price in (101, 99.5, 102, 98, 103, 97, 96):
            await exchange.trade(BTC, price)
        assert [(await client.read())["price"] for _ in range(2)] == [101, 103]
        await client.nothing_more()
        (listed,) = (await client.ask(cmd="list"))["rules"]
        assert listed["rule_id"] == rule["rule_id"]
        assert "fired_at" in listed


async def test_several_firings_in_one_commit_are_all_sent(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=100, repeat="every")
        await exchange.trade(BTC, 101, 99, 102, 99, 103)
        assert [(await client.read())["price"] for _ in range(3)] == [101, 102, 103]
        await client.nothing_more()


async def test_endpoints_side_by_side_fire_and_arm_again_in_the_order_of_trades(
    exchange: Exchange, start: Start, database: URL
) -> None:
    chance = random.Random(7)
    endpoints = [await start() for _ in range(3)]
    expected: dict[int, list[float]] = {}
    levels: dict[int, float] = {}
    async with endpoints[0].client("?client=bot") as client:
        for _ in range(30):
            level = round(chance.uniform(98, 102), 2)
            ack = await client.ask(cmd="watch", symbol=BTC, price=level, repeat="every")
            levels[ack["rule_id"]] = level
            expected[ack["rule_id"]] = []
        waiting = dict.fromkeys(levels, False)
        for _ in range(60):
            prices = [round(chance.uniform(97.5, 102.5), 2) for _ in range(chance.randint(1, 3))]
            await exchange.trade(BTC, *prices)
            for price in prices:
                for rule_id, level in levels.items():
                    if price < level:
                        waiting[rule_id] = False
                    elif not waiting[rule_id]:
                        waiting[rule_id] = True
                        expected[rule_id].append(price)
        due = {rule_id: prices[:16] for rule_id, prices in expected.items()}
        await eventually(lambda: len(events(database)) >= sum(map(len, due.values())))
        await asyncio.sleep(0.3)
    received: dict[int, list[float]] = {rule_id: [] for rule_id in levels}
    stored = events(database)
    for event in stored:
        assert event.price is not None
        received[event.rule_id].append(event.price)
    assert received == due
    assert [event.event_id for event in stored] == list(range(1, len(stored) + 1))


async def test_what_a_rule_has_come_to_outlives_the_endpoint(
    exchange: Exchange, start: Start, database: URL
) -> None:
    before = await start()
    async with before.client("?client=bot") as client:
        await client.ask(cmd="watch", symbol=BTC, price=100, repeat="every")
        await client.ask(
            cmd="watch", symbol=BTC, condition={"type": "change", "percent": 5, "within": "1h"}, note="moved"
        )
        await exchange.trade(BTC, 101)
        await client.read()
    before.stop.set()
    await eventually(lambda: not_answering(before))
    await exchange.trade(BTC, 102)
    after = await start()
    async with after.client("?client=bot&after=1") as client:
        await client.nothing_more()
        await exchange.trade(BTC, 99)
        await exchange.trade(BTC, 103)
        assert (await client.read())["price"] == 103
        await exchange.trade(BTC, 106)
        moved = await client.read()
        assert (moved["price"], moved["message"][:5]) == (106, "moved")
        await client.nothing_more()


async def test_a_crossing_after_a_restart_knows_the_price_before(
    exchange: Exchange, start: Start, database: URL
) -> None:
    await exchange.trade(BTC, 95)
    endpoint_ = await start()
    async with endpoint_.client("?client=bot") as client:
        await client.ask(
            cmd="watch", symbol="btcusdt", condition={"type": "crosses", "price": 100, "direction": "up"}
        )
        await exchange.trade("kraken:BTC-USDT", 105)  # kraken was never below
        await exchange.trade(BTC, 101)
        assert (await client.read())["exchange"] == "binance"


async def test_recovered_trades_fire_late_the_rules_armed_then(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=100)
        await client.ask(
            cmd="watch", symbol=BTC, condition={"type": "crosses", "price": 90, "direction": "down"}
        )
        await exchange.trade(BTC, 95)
        await asyncio.sleep(1.1)
        await exchange.trade(BTC, 96)
        run(
            database,
            GAP,
            market_id(database, BTC),
        )
        await exchange.trade(BTC, 99, 89, age_s=0.5, late=True)
        alert = await client.read()
        assert (alert["price"], alert["late"], alert["degraded"]) == (89, True, True)
        await exchange.trade(BTC, 101, age_s=3_600, late=True)  # before there was the rule
        await client.nothing_more()
        await exchange.trade(BTC, 101)
        alert = await client.read()
        assert alert["degraded"]
        assert "late" not in alert


async def test_a_storm_pauses_the_rule_until_it_is_resumed(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        rule = await client.ask(cmd="watch", symbol="btcusdt", price=100, repeat="every")
        for _ in range(20):
            await exchange.trade(BTC, 101, 99)
        received = [await client.read() for _ in range(16)]
        assert ["paused" in alert for alert in received] == [False] * 15 + [True]
        assert "paused: it fired more than 15 times in 3 minutes" in received[-1]["message"]
        await client.nothing_more()
        assert (await client.ask(cmd="list"))["rules"][0]["paused"]
        resumed = await client.ask(cmd="resume", rule_id=rule["rule_id"])
        assert "paused" not in resumed
        await exchange.trade(BTC, 99, 102)
        assert (await client.read())["price"] == 102


async def test_snoozed_until_it_is_resumed(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        rule = await client.ask(cmd="watch", symbol="btcusdt", price=100)
        snoozed = await client.ask(cmd="snooze", rule_id=rule["rule_id"], **{"for": "1h"})
        assert "snoozed_until" in snoozed
        await exchange.trade(BTC, 101)
        await client.nothing_more()
        await client.ask(cmd="resume", rule_id=rule["rule_id"])
        await exchange.trade(BTC, 103)
        assert (await client.read())["price"] == 103
        assert (await client.ask(cmd="snooze", rule_id=77, **{"for": "1h"}))["code"] == "unknown_rule"


async def test_held_for_a_while_by_the_clock(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=100, holds_for="1s")
        await exchange.trade(BTC, 101)
        alert = await client.read()
        assert (alert["price"], alert["exchange"]) == (101, "binance")


async def test_away_from_the_average_and_on_the_average(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    async with endpoint.client() as client, await connect(database, application_name="test") as conn:
        await client.ask(cmd="watch", symbol="btcusdt", condition={"type": "from_average", "percent": 2})
        await client.ask(
            cmd="watch", symbol="btcusdt", condition={"type": "above", "price": 99, "source": "average"}
        )
        await ensure_average_days(conn, [utc_day(now_us())])
        second_us = now_us() // SECOND_US * SECOND_US
        average = Average(100.0, 0.1, Method.MEDIAN, State.OK, ("binance",), {})
        await write_averages(
            conn, second_us, [PairAverage(symbol=Symbol("BTC", "USDT"), ts_us=second_us, average=average)]
        )
        alert = await client.read()
        assert (alert["exchange"], alert["price"]) == (None, 100)
        await exchange.trade(BTC, 101)
        await exchange.trade("kraken:BTC-USDT", 97)
        alert = await client.read()
        assert (alert["exchange"], alert["value"]) == ("kraken", -3)


async def test_closed_candles_sentiment_and_silence(
    endpoint: Endpoint, exchange: Exchange, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.evaluation.polled_inputs.AGAIN_US", SECOND_US // 2)
    where = market_id(database, BTC)
    run(
        database,
        "insert into stream_health (market_id, state, last_received_at)"
        " values (%s, 'live', now() - interval '9 s')",
        where,
    )
    await exchange.trade(BTC, 100)
    async with endpoint.client() as client:
        for condition in (
            {"type": "fear_greed", "level": 20, "direction": "below"},
            {"type": "silent", "for": "10s"},
            {"type": "gap"},
        ):
            assert (await client.ask(cmd="watch", symbol=BTC, condition=condition))["type"] == "ack"
        alert = await client.read()
        assert "silent for 10s" in alert["message"]
        run(
            database,
            "insert into sentiment (day, source, value, score, scale)"
            " values (current_date, 'fear_greed', 15, -0.7, '0..100')",
        )
        alert = await client.read()
        assert (alert["value"], alert["price"]) == (15, 100)
        run(
            database,
            GAP,
            where,
        )
        alert = await client.read()
        assert alert["degraded"]


async def test_a_failed_job_is_on_no_market_and_has_its_name(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    failed = "insert into job_failures (run_id, job, why) values (%s, %s, 'kraken: HTTP 429')"
    run(database, failed, "before", "candles")
    async with endpoint.client() as client:
        of_any = await client.ask(cmd="watch", condition={"type": "job_failed"}, repeat="every")
        assert (of_any["symbol"], of_any["exchange"]) == ("NO-MARKET", None)
        named = {"type": "job_failed", "job": "news"}
        again = await client.ask(cmd="watch", symbol="no-market", condition=named)
        assert again["code"] == "unknown_symbol"
        await client.ask(cmd="watch", symbol="NO-MARKET", condition=named, template="{symbol} {value}")
        await client.ask(cmd="watch", symbol=BTC, condition={"type": "any", "of": [named]})
        refused = await client.ask(cmd="watch", condition={"type": "gap"})
        assert refused["code"] == "missing_field"
        await exchange.trade(BTC, 100)
        run(database, failed, "one", "candles")
        alert = await client.read()
        assert alert["rule_id"] == of_any["rule_id"]
        assert alert["message"] == "A job failed: candles: kraken: HTTP 429"
        assert (alert["price"], alert["exchange"], "value" in alert) == (None, None, False)
        run(database, failed, "two", "news")
        alerts = [await client.read() for _ in range(3)]
        assert {alert["message"] for alert in alerts} == {
            "A job failed: news: kraken: HTTP 429",
            "NO-MARKET news: kraken: HTTP 429",
            "BTC-USDT at 100 on binance: the job news failed: news: kraken: HTTP 429",
        }
        await client.nothing_more()
        received = await client.ask(
            cmd="preview", condition={"type": "job_failed"}, since="1h", repeat="every"
        )
        assert [firing["message"] for firing in received["fired"]] == [
            f"A job failed: {job}: kraken: HTTP 429" for job in ("candles", "candles", "news")
        ]
        assert [firing["ts"] for firing in received["fired"][1:]] == [alert["ts"], alerts[0]["ts"]]
        held = await client.ask(cmd="watch", condition={"type": "job_failed"}, holds_for="1m")
        assert held["code"] == "bad_holds_for"


async def test_a_job_that_fails_while_no_endpoint_runs_is_sent_once(
    exchange: Exchange, start: Start, database: URL
) -> None:
    failed = "insert into job_failures (run_id, job, why) values (%s, 'candles', '')"
    before = await start()
    async with before.client("?client=bot") as client:
        await client.ask(cmd="watch", condition={"type": "job_failed"}, repeat="every")
        run(database, failed, "one")
        assert (await client.read())["message"] == "A job failed: candles"
    before.stop.set()
    await eventually(lambda: not_answering(before))
    run(database, failed, "two")
    after = await start()
    async with after.client("?client=bot&after=1") as client:
        assert (await client.read())["event_id"] == 2
        run(database, failed, "three")
        assert (await client.read())["event_id"] == 3
        await client.nothing_more()


async def test_a_met_condition_on_polled_inputs_fires_without_a_price(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    run(
        database,
        "insert into sentiment (day, source, value, score, scale)"
        " values (current_date, 'fear_greed', 15, -0.7, '0..100')",
    )
    run(database, GAP, market_id(database, BTC))
    fear = {"type": "fear_greed", "level": 20, "direction": "below"}
    gap = {"type": "gap"}
    async with endpoint.client() as client:
        for condition, where in ((fear, {}), (fear, {}), (gap, {"symbol": BTC}), (gap, {"symbol": BTC})):
            await client.ask(cmd="watch", condition=condition, **where)
            alert = await client.read()
            assert alert["symbol"] == ("BTC-USDT" if where else "NO-MARKET")


async def test_a_preview_returns_what_would_have_fired(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol=BTC, price=100, repeat="every", note="live")
        for price in (99, 101, 98, 97, 103, 102):
            await exchange.trade(BTC, price)
        live = [await client.read() for _ in range(2)]
        received = await client.ask(
            cmd="preview", symbol=BTC, price=100, repeat="every", note="live", since="1h"
        )
        assert (received["count"], received["trades"], received["complete"]) == (2, 6, False)
        assert [(firing["price"], firing["ts"], firing["message"]) for firing in received["fired"]] == [
            (firing["price"], firing["ts"], firing["message"]) for firing in live
        ]
        refused = await client.ask(cmd="preview", symbol=BTC, condition={"type": "gap"}, since="1h")
        assert refused["code"] == "bad_condition"
        fell = {"type": "change", "percent": 3.9, "within": "1m", "direction": "fall"}
        received = await client.ask(cmd="preview", symbol="btcusdt", condition=fell, since="1h")
        assert [firing["price"] for firing in received["fired"]] == [97]
