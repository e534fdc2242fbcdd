"""The endpoint over real sockets and real Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import URL
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.alerts.endpoint import serve
from coinwatch.errors import SettingsError
from coinwatch.settings import Settings
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.waiting import eventually
from warehouse.db.connect import conninfo

Start = Callable[[], Awaitable[Endpoint]]


def rows(database: URL, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(conninfo(database)) as conn:
        return conn.execute(query).fetchall()


async def test_a_seed_watch_below_the_price_is_answered_by_exactly_one_alert(
    endpoint: Endpoint, exchange: Exchange
) -> None:
    await exchange.trade("binance:BTC-USDC", 50_000.0)
    async with endpoint.client() as client:
        ack = await client.ask(cmd="watch", symbol="btcusdc", price=1.0, id=7)
        assert ack["type"] == "ack"
        assert ack["id"] == 7
        await client.nothing_more()

        (trade, *_) = await exchange.trade("binance:BTC-USDC", 50_001.0, 50_002.0)
        alert = await client.read(timeout_s=1)
        assert alert.pop("ts").endswith("Z")
        assert alert == {
            "type": "alert",
            "event_id": 1,
            "rule_id": ack["rule_id"],
            "symbol": "BTC-USDC",
            "exchange": "binance",
            "price": trade.price,
            "message": "Take profit on btcusdc",
        }
        await exchange.trade("binance:BTC-USDC", 50_003.0)
        await exchange.trade("binance:BTC-USDC", 60_000.0)
        assert (await client.ask(cmd="list"))["rules"] == []
        await client.nothing_more()


async def test_the_alert_names_the_very_trade_inside_a_commit(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        await client.ask(
            cmd="watch", symbol="binance:btc/usdt", condition={"type": "below", "price": 90}, note="dip"
        )
        await exchange.trade("kraken:BTC-USDT", 80.0)
        await exchange.trade("binance:BTC-USDT", 100.0, 95.0, 88.5, 70.0, 100.0)
        alert = await client.read()
        assert alert["price"] == 88.5
        assert alert["exchange"] == "binance"
        assert alert["message"] == "dip: BTC-USDT traded at 88.5 on binance, at or below 90"


async def test_a_pair_without_an_exchange_is_watched_on_all(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="BTC_USDT", price=100)
        await exchange.trade("kraken:BTC-USDT", 100.0)
        assert (await client.read())["exchange"] == "kraken"


async def test_watch_list_unwatch(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client() as client, endpoint.client() as other:
        ack = await client.ask(cmd="watch", symbol="ethusd", price=9_000, note="moon", id="a")
        listed = await client.ask(cmd="list", id="b")
        assert listed["rules"] == [
            {
                "rule_id": ack["rule_id"],
                "symbol": "ETH-USD",
                "exchange": None,
                "condition": {"type": "above", "price": 9_000.0},
                "note": "moon",
                "created_at": listed["rules"][0]["created_at"],
            }
        ]
        stolen = await other.ask(cmd="unwatch", rule_id=ack["rule_id"])
        assert stolen["code"] == "unknown_rule"
        assert (await other.ask(cmd="list"))["rules"] == []
        assert (await client.ask(cmd="unwatch", rule_id=ack["rule_id"]))["type"] == "ack"
        await exchange.trade("coinbase:ETH-USD", 10_000.0)
        assert (await client.ask(cmd="list"))["rules"] == []
        await client.nothing_more()


async def test_a_market_that_is_new_is_known_without_a_restart(endpoint: Endpoint, database: URL) -> None:
    async with endpoint.client() as client:
        assert (await client.ask(cmd="watch", symbol="dogeeur", price=1))["code"] == "unknown_symbol"
        with psycopg.connect(conninfo(database)) as conn:
            conn.execute(
                "insert into markets (exchange, symbol, base, quote, native)"
                " values ('kraken', 'DOGE-EUR', 'DOGE', 'EUR', 'DOGE/EUR')"
            )

        async def known() -> bool:
            answer = await client.ask(cmd="watch", symbol="dogeeur", price=1)
            return "rule_id" in answer

        await eventually(known)


async def test_bad_frames_are_answered_and_the_connection_stays_open(endpoint: Endpoint) -> None:
    async with endpoint.client() as client:
        for frame, code in (
            ("{", "bad_json"),
            (b"\x00\xff", "binary_frame"),
            ("[" * 60_000, "bad_json"),
            ('{"cmd":"watch","symbol":"btcusdc","price":NaN}', "bad_price"),
            ("x" * 100_000, "frame_too_large"),
            (b"x" * 200_000, "binary_frame"),
        ):
            await client.socket.send(frame)
            answer = await client.read()
            assert (answer["type"], answer["code"], answer["id"]) == ("error", code, None)
        await client.nothing_more()
        await client.socket.send("x" * 300_000)
        with pytest.raises(ConnectionClosed) as closed:
            await client.read()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_commands_sent_at_once_are_each_answered_in_order(endpoint: Endpoint) -> None:
    async with endpoint.client() as client:
        for number in range(200):
            await client.socket.send(json.dumps({"cmd": "ping" if number % 2 else "pong", "id": number}))
        answers = [await client.read() for _ in range(200)]
        assert [answer["id"] for answer in answers] == list(range(200))
        assert [answer["type"] for answer in answers] == ["error", "ack"] * 100


async def test_rules_of_an_unnamed_client_end_with_its_connection(endpoint: Endpoint, database: URL) -> None:
    async with endpoint.client() as client, endpoint.client("?client=named") as named:
        await client.ask(cmd="watch", symbol="btcusdt", price=1e9)
        await named.ask(cmd="watch", symbol="btcusdt", price=1e9)
    await eventually(lambda: rows(database, "select client from alert_rules") == [("named",)])


async def test_a_named_client_resumes_without_gap_or_repeat(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client("?client=bot") as client:
        for price in (10, 20, 30, 40):
            await client.ask(cmd="watch", symbol="binance:BTC-USDT", price=price)
        await exchange.trade("binance:BTC-USDT", 10.0)
        first = await client.read()
    await exchange.trade("binance:BTC-USDT", 20.0)
    await exchange.trade("binance:BTC-USDT", 30.0)

    async with endpoint.client(f"?client=bot&after={first['event_id']}") as client:
        assert [(await client.read())["price"] for _ in range(2)] == [20.0, 30.0]
        await client.nothing_more()
        await exchange.trade("binance:BTC-USDT", 40.0)
        last = await client.read()
        assert last["price"] == 40.0
        assert last["event_id"] == 4
    async with endpoint.client("?client=bot") as client:
        await client.nothing_more()
    async with endpoint.client("?client=stranger&after=0") as client:
        await client.nothing_more()


async def test_resuming_while_alerts_fire_repeats_and_misses_none(
    endpoint: Endpoint, exchange: Exchange
) -> None:
    async with endpoint.client("?client=busy") as client:
        for price in range(1, 301):
            await client.ask(cmd="watch", symbol="binance:BTC-USDT", price=price)

    async def rise() -> None:
        for price in range(1, 301):
            await exchange.trade("binance:BTC-USDT", float(price))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rise())
        seen: list[int] = []
        while len(seen) < 300:
            async with endpoint.client(f"?client=busy&after={seen[-1] if seen else 0}") as client:
                for _ in range(min(17, 300 - len(seen))):
                    seen.append((await client.read())["event_id"])
    assert seen == list(range(1, 301))


async def test_an_unknown_event_is_refused(endpoint: Endpoint, exchange: Exchange) -> None:
    async with endpoint.client("?client=lost&after=99") as client:
        answer = await client.read()
        assert answer["code"] == "unknown_event"
        assert "newest is 0" in answer["message"]
        await client.ask(cmd="watch", symbol="ethusd", price=1)
        await exchange.trade("coinbase:ETH-USD", 2.0)
        assert (await client.read())["event_id"] == 1


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?client=", "1 to 64"),
        ("?client=a%20b", "1 to 64"),
        ("?after=5", "needs a client"),
        ("?client=a&after=-1", "whole number"),
        ("?client=a&after=1e3", "whole number"),
        ("?client=a&after=99999999999999999999", "whole number"),
        ("?client=a&client=b", "once"),
        ("?name=a", "client and after"),
    ],
)
async def test_an_impossible_address_is_refused_with_the_reason(
    endpoint: Endpoint, query: str, text: str
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with endpoint.client(query):
            pass
    response = refusal.value.response
    assert response.status_code == 400
    assert text in json.loads(response.body or b"")["error"]


async def test_plain_http(endpoint: Endpoint) -> None:
    health = await endpoint.get("/healthz")
    assert health.headers["content-type"] == "application/json"
    assert health.json()["status"] == "ok"
    metrics = await endpoint.get("/metrics")
    assert "coinwatch_alerts_connections 0.0" in metrics.text
    missing = await endpoint.get("/nothing")
    assert missing.status_code == 404
    assert "/healthz" in missing.json()["error"]


async def test_a_slow_consumer_is_cut_off_and_others_are_not_held_up(
    endpoint: Endpoint, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.connections.hub.MAX_WAITING", 50)
    monkeypatch.setattr("app.alerts.connections.hub.AHEAD_BYTES", 0)  # the system would take all that is sent
    async with endpoint.client("?client=slow") as slow, endpoint.client() as quick:
        note = "x" * 500
        for _ in range(900):
            await slow.ask(cmd="watch", symbol="kraken:BTC-USDT", condition=BELOW_1000, note=note)
        slow.socket.transport.pause_reading()
        ack = await quick.ask(cmd="watch", symbol="kraken:BTC-USDT", condition=BELOW_1000)
        await exchange.trade("kraken:BTC-USDT", 999.0)
        assert (await quick.read())["rule_id"] == ack["rule_id"]
        await eventually(lambda: slow_consumers(endpoint))
        slow.socket.transport.resume_reading()
        seen = [json.loads(frame)["event_id"] async for frame in until_closed(slow.socket)]
        assert slow.socket.close_code == 1013
        assert "too slow" in str(slow.socket.close_reason)
    async with endpoint.client(f"?client=slow&after={seen[-1] if seen else 0}") as slow:
        while len(seen) < 900:
            seen.append((await slow.read())["event_id"])
    assert seen == sorted(set(seen))


async def until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    with suppress(ConnectionClosed):
        async for frame in socket:
            yield frame


BELOW_1000 = {"type": "below", "price": 1_000.0}


async def slow_consumers(endpoint: Endpoint) -> bool:
    return "coinwatch_alerts_slow_consumers_total 1.0" in (await endpoint.get("/metrics")).text


async def test_a_stopping_endpoint_closes_with_going_away(
    exchange: Exchange, start: Start, database: URL
) -> None:
    endpoint = await start()
    async with endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=1e9)
        endpoint.stop.set()
        with pytest.raises(ConnectionClosed) as closed:
            await client.read()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    await eventually(lambda: rows(database, "select client from alert_rules") == [])


async def test_a_busy_port_is_one_clear_line(
    endpoint: Endpoint, database: URL, settings_for: Callable[..., Settings]
) -> None:
    with pytest.raises(
        SettingsError, match=rf"^COINWATCH_ALERTS_PORT: port {endpoint.port} on 127.0.0.1 is in use"
    ):
        await serve(settings_for(alerts_port=endpoint.port), database, stop=asyncio.Event())
