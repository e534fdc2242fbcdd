"""Once and only once: several endpoints, lost connections, restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import psycopg
import pytest
from psycopg import Notify
from sqlalchemy import URL

from app.alerts.evaluation import notify_queue
from app.alerts.evaluation.notify_queue import NotifyQueue
from app.alerts.evaluation.progress import Progress
from coinwatch.alerts import Above, Alert, Below, Direction, NewRule, Rule, price_condition
from coinwatch.records import Symbol, Trade
from tests.app.alerts.conftest import Client, Endpoint, Exchange
from tests.waiting import eventually
from warehouse.alerts import rules
from warehouse.alerts.snapshots import CommitSnapshot
from warehouse.db.connect import conninfo, engine

Start = Callable[[], Awaitable[Endpoint]]
BTC = Symbol("BTC", "USDT")


def create_rule(database: URL, price: float, direction: Direction = Direction.ABOVE) -> Rule:
    pages = engine(database, application_name="test dashboard")
    try:
        with pages.begin() as conn:
            condition = price_condition(direction, price)
            return rules.create_rule(
                conn, NewRule(symbol=BTC, condition=condition, typed="btcusdt", client="dashboard")
            )
    finally:
        pages.dispose()


def events(database: URL) -> list[Alert]:
    pages = engine(database, application_name="test dashboard")
    try:
        with pages.begin() as conn:
            return rules.recent_events(conn, limit=10_000)[::-1]
    finally:
        pages.dispose()


def end_connections_of_endpoints(database: URL) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as conn:
        ended = conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'coinwatch alerts%'"
        ).fetchall()
    assert ended


async def test_a_dashboard_rule_is_evaluated_at_once_and_sent_everywhere(
    exchange: Exchange, start: Start, database: URL
) -> None:
    first, two = await start(), await start()
    async with first.client("?client=dashboard") as here, two.client("?client=dashboard") as there:
        rule = await asyncio.to_thread(create_rule, database, 100.0)
        await exchange.trade("kraken:BTC-USDT", 101.0)
        received = [await client.read(timeout_s=1) for client in (here, there)]
        assert received[0] == received[1]
        assert received[0]["rule_id"] == rule.id
        await exchange.trade("kraken:BTC-USDT", 102.0)
        await here.nothing_more()


async def test_several_endpoints_fire_each_rule_once_in_commit_order(
    exchange: Exchange, start: Start, database: URL
) -> None:
    chance = random.Random(5)
    endpoints = [await start() for _ in range(3)]
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for number in range(10):
            query = f"?client=c{number}" if number % 2 else ""
            clients.append(await stack.enter_async_context(endpoints[number % 3].client(query)))
        watched: dict[int, tuple[Client, Above | Below]] = {}
        for number in range(200):
            client = clients[number % 10]
            kind, away = chance.choice(["above", "below"]), chance.uniform(0.5, 40)
            price = 1_000 + away if kind == "above" else 1_000 - away
            ack = await client.ask(
                cmd="watch", symbol="btcusdt", condition={"type": kind, "price": round(price, 2)}
            )
            watched[ack["rule_id"]] = client, price_condition(Direction(kind), round(price, 2))

        traded: list[Trade] = []
        for step in range(150):
            swing = step / 3 * (1 if step % 2 else -1)
            prices = [round(1_000 + chance.uniform(-1, 1) + swing, 2) for _ in range(chance.randint(1, 5))]
            traded += await exchange.trade(chance.choice(["binance:BTC-USDT", "kraken:BTC-USDT"]), *prices)

        due = {
            rule_id: next(trade for trade in traded if condition.met_by(trade.price))
            for rule_id, (_, condition) in watched.items()
        }
        await eventually(lambda: len(events(database)) == len(due))
        stored = events(database)
        assert [event.event_id for event in stored] == list(range(1, len(due) + 1))
        assert {event.rule_id: event.trade_id for event in stored} == {
            rule_id: trade.trade_id for rule_id, trade in due.items()
        }
        for client in clients:
            mine = [rule_id for rule_id, (owner, _) in watched.items() if owner is client]
            received = [await client.read() for _ in mine]
            assert sorted(frame["rule_id"] for frame in received) == sorted(mine)
            assert [frame["event_id"] for frame in received] == sorted(
                frame["event_id"] for frame in received
            )
            await client.nothing_more()


async def test_lost_connections_to_postgres_miss_nothing_and_double_nothing(
    endpoint: Endpoint, exchange: Exchange, database: URL
) -> None:
    async with endpoint.client() as client:
        for price in (110.0, 120.0, 130.0):
            ack = await client.ask(cmd="watch", symbol="btcusdt", price=price)
            assert ack["type"] == "ack"
            await asyncio.to_thread(end_connections_of_endpoints, database)
            await exchange.trade("binance:BTC-USDT", price)  # no client hears this
            await exchange.trade("binance:BTC-USDT", 100.0)
            assert (await client.read())["price"] == price
            await client.nothing_more()
        await eventually(endpoint.healthy)
        assert len(events(database)) == 3


async def test_alerts_of_a_downtime_are_sent_to_the_client_that_resumes(
    exchange: Exchange, start: Start, database: URL
) -> None:
    before = await start()
    async with before.client("?client=bot") as client:
        for price in (150, 999):
            await client.ask(cmd="watch", symbol="btcusdt", price=price)
    before.stop.set()
    await eventually(lambda: not_answering(before))
    await exchange.trade("binance:BTC-USDT", 160.0)
    await exchange.trade("binance:BTC-USDT", 140.0)
    after = await start()
    async with after.client("?client=bot&after=0") as client:
        assert (await client.read())["price"] == 160.0
        await exchange.trade("binance:BTC-USDT", 170.0)
        await client.nothing_more()
        assert len((await client.ask(cmd="list"))["rules"]) == 1


async def test_a_rule_made_while_no_endpoint_ran_is_not_fired_by_older_trades(
    exchange: Exchange, start: Start, database: URL
) -> None:
    before = await start()
    before.stop.set()
    await eventually(lambda: not_answering(before))
    await exchange.trade("binance:BTC-USDT", 500.0, age_s=3)
    rule = await asyncio.to_thread(create_rule, database, 200.0)
    await exchange.trade("binance:BTC-USDT", 300.0)
    await start()
    (event,) = await eventually(lambda: events(database))
    assert (event.rule_id, event.price) == (rule.id, 300.0)


async def test_without_postgres_the_connection_stays_open(
    endpoint: Endpoint, exchange: Exchange, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses connections for a while; the endpoint comes back by itself."""
    monkeypatch.setattr("app.alerts.endpoint.BEAT_S", 0.2)  # unhealthy after 2 s, not 10
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=100)
        with psycopg.connect(conninfo(database.set(database="postgres")), autocommit=True) as conn:
            allow(conn, database, False)
            await asyncio.to_thread(end_connections_of_endpoints_from, conn, database)
            await exchange.trade("binance:BTC-USDT", 101.0)
            await eventually(lambda: is_unavailable(endpoint))
            answer = await client.ask(cmd="list", id=4)
            assert (answer["code"], answer["id"]) == ("try_again", 4)
            allow(conn, database, True)
        assert (await client.read())["price"] == 101.0
        assert (await client.ask(cmd="list"))["rules"] == []
    await eventually(endpoint.healthy)


async def is_unavailable(endpoint: Endpoint) -> bool:
    health = await endpoint.get("/healthz")
    codes = [reason["code"] for reason in health.json().get("reasons", [])]
    return health.status_code == 503 and "commits_missed" in codes


async def not_answering(endpoint: Endpoint) -> bool:
    try:
        await endpoint.get("/healthz")
    except OSError:
        return True
    except Exception as error:
        return "connect" in str(error).lower()
    return False


def allow(conn: psycopg.Connection, database: URL, allowed: bool) -> None:
    conn.execute(
        psycopg.sql.SQL("alter database {} allow_connections {}").format(
            psycopg.sql.Identifier(database.database or ""), psycopg.sql.Literal(allowed)
        )
    )


def end_connections_of_endpoints_from(conn: psycopg.Connection, database: URL) -> None:
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = %s and application_name like 'coinwatch alerts%%'",
        [database.database],
    )


async def test_an_inbox_that_overflows_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify_queue, "MAX_WAITING", 3)
    waiting = NotifyQueue()
    waiting.restart()
    await waiting.started()
    for number in range(3):
        waiting.put(Notify("ticks", str(number), 1))
    assert [notify.payload for notify in await waiting.take(1) or []] == ["0", "1", "2"]
    for number in range(4):
        waiting.put(Notify("ticks", str(number), 1))
    assert await waiting.take(1) is None
    await waiting.started()
    assert [notify.payload for notify in await waiting.take(1) or []] == ["3"]


def test_progress_moves_whether_a_mark_returns_early_or_late() -> None:
    progress = Progress()
    first, second, third = (CommitSnapshot(f"{n}:{n}:", n) for n in (10, 20, 30))
    progress.sent(0, first)
    assert progress.snapshot is None
    progress.acknowledge(0)
    assert progress.snapshot == first
    progress.acknowledge(1)
    assert progress.snapshot == first
    progress.sent(1, second)
    assert progress.snapshot == second
    progress.caught_up(third)
    progress.sent(2, second)
    progress.acknowledge(2)
    assert progress.snapshot == third
