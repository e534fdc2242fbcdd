"""The subscriber's library against a real endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.alerts import Above, Alert, Crosses, JobFailed, Way
from coinwatch.client import AlertClient
from coinwatch.client.answers import read_previewed, read_rule
from coinwatch.client.frames import read_frame
from coinwatch.errors import BadMessage, CommandRefused, EndpointUnreachable
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.app.alerts.proxy import Proxy
from tests.waiting import eventually
from warehouse.embedded.ports import free_port


async def next_alerts(client: AlertClient, count: int) -> list[Alert]:
    async with asyncio.timeout(90), aclosing(aiter(client)) as alerts:
        return [await anext(alerts) for _ in range(count)]


@pytest.fixture
async def proxy(endpoint: Endpoint) -> AsyncIterator[Proxy]:
    async with Proxy(endpoint.port) as proxy:
        yield proxy


async def test_watch_and_receive(endpoint: Endpoint, exchange: Exchange) -> None:
    async with AlertClient(endpoint.url) as client:
        above = await client.watch("btc/usdt", above=100, note="up")
        below = await client.watch("kraken:btcusdt", below=50.0)
        assert [rule.rule_id for rule in await client.rules()] == [above.rule_id, below.rule_id]
        assert client.watches == [above, below]
        (trade,) = await exchange.trade("binance:BTC-USDT", 100.0)
        await exchange.trade("kraken:BTC-USDT", 49.0)
        first, second = await next_alerts(client, 2)
        assert first == Alert(
            event_id=1,
            rule_id=above.rule_id or 0,
            symbol="BTC-USDT",
            exchange="binance",
            price=100.0,
            ts_us=trade.ts_us,
            message="up: BTC-USDT traded at 100 on binance, at or above 100",
        )
        assert second.rule_id == below.rule_id
        assert client.watches == []
        assert client.last_event_id == 2


async def test_unwatch(endpoint: Endpoint, exchange: Exchange) -> None:
    async with AlertClient(endpoint.url) as client:
        gone = await client.watch("btcusdt", above=1)
        kept = await client.watch("btcusdt", above=2)
        await client.unwatch(gone.rule_id or 0)
        assert client.watches == [kept]
        await exchange.trade("binance:BTC-USDT", 5.0)
        (alert,) = await next_alerts(client, 1)
        assert alert.rule_id == kept.rule_id


async def test_any_condition_and_terms(endpoint: Endpoint, exchange: Exchange) -> None:
    async with AlertClient(endpoint.url) as client:
        crosses = await client.watch(
            "kraken:btcusdt", condition=Crosses(price=100.0, way=Way.UP), repeat="every", note="over"
        )
        await client.watch("btcusdc", condition={"type": "below", "price": 5}, template="{symbol} is low")
        for price in (90.0, 110.0, 90.0, 120.0):
            await exchange.trade("kraken:BTC-USDT", price)
        alerts = await next_alerts(client, 2)
        assert [(alert.rule_id, alert.price) for alert in alerts] == [
            (crosses.rule_id, 110.0),
            (crosses.rule_id, 120.0),
        ]
        assert crosses in client.watches
        await exchange.trade("binance:BTC-USDC", 4.0)
        assert [alert.message for alert in await next_alerts(client, 1)] == ["BTC-USDC is low"]
        assert client.watches == [crosses]
        with pytest.raises(CommandRefused, match="sometimes") as refused:
            await client.watch("btcusdt", above=1, repeat="sometimes")
        assert refused.value.code == "bad_repeat"


async def test_snooze_resume_and_what_a_watch_would_have_done(endpoint: Endpoint, exchange: Exchange) -> None:
    async with AlertClient(endpoint.url) as client:
        watch = await client.watch("kraken:btcusdt", above=100, repeat="every", cooldown="1m", note="up")
        rule_id = watch.rule_id or 0
        (kept,) = await client.rules()
        assert (kept.condition, kept.exchange, kept.note) == (Above(price=100.0), "kraken", "up")
        assert (kept.terms.repeat, kept.terms.cooldown_s, kept.fired_us) == ("every", 60, None)
        snoozed = await client.snooze(rule_id, "1h")
        assert snoozed.snoozed_until_us is not None
        assert snoozed.snoozed_until_us > snoozed.created_us
        until = datetime(2100, 1, 1, tzinfo=UTC)
        again = await client.snooze(rule_id, until=until)
        assert again.snoozed_until_us == round(until.timestamp()) * 1_000_000
        assert (await client.resume(rule_id)).snoozed_until_us is None
        with pytest.raises(ValueError, match="one of for_ and until"):
            await client.snooze(rule_id)
        with pytest.raises(CommandRefused, match="no rule 999"):
            await client.resume(999)
        await exchange.trade("kraken:BTC-USDT", 101.0)
        (live,) = await next_alerts(client, 1)
        (fired,) = await client.rules()
        assert fired.fired_us is not None
        received = await client.preview("kraken:btcusdt", since="1h", above=100, repeat="every", note="up")
        assert (received.symbol, received.exchange, received.count, received.complete) == (
            "BTC-USDT",
            "kraken",
            1,
            False,
        )
        assert [span.by for span in received.coverage] == ["nothing", "trades", "nothing"]
        (would,) = received.fired
        assert (would.ts_us, would.price, would.message) == (live.ts_us, live.price, live.message)
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        earlier = await client.preview(
            "btcusdt",
            since=an_hour_ago - timedelta(hours=1),
            until=an_hour_ago,
            condition=Crosses(price=100.0),
        )
        assert (earlier.count, earlier.trades, earlier.fired) == (0, 0, [])
        with pytest.raises(CommandRefused, match="the past of gap is not stored"):
            await client.preview("btcusdt", since="1h", condition={"type": "gap"})


async def test_a_watch_on_no_market(endpoint: Endpoint) -> None:
    async with AlertClient(endpoint.url) as client:
        await client.watch(condition=JobFailed(job="candles"))
        (kept,) = await client.rules()
        assert (kept.symbol, kept.condition) == ("NO-MARKET", JobFailed(job="candles"))
        assert (await client.preview(condition=JobFailed(), since="24h")).count == 0


def test_a_rule_that_is_none_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="not a rule"):
        read_rule({"rule_id": 1, "condition": {"type": "near"}})
    with pytest.raises(BadMessage, match="not a preview"):
        read_previewed({"since": "soon"})


async def test_refusals_have_reasons(endpoint: Endpoint) -> None:
    async with AlertClient(endpoint.url) as client:
        with pytest.raises(CommandRefused, match="BTC-USDT") as refused:
            await client.watch("btcusd", above=1)
        assert refused.value.code == "unknown_symbol"
        with pytest.raises(CommandRefused, match="NaN"):
            await client.watch("btcusdt", above=float("nan"))
        with pytest.raises(CommandRefused, match="no rule 999"):
            await client.unwatch(999)
        with pytest.raises(ValueError, match="one of above, below and condition"):
            await client.watch("btcusdt")


async def test_no_endpoint() -> None:
    url = f"ws://127.0.0.1:{free_port()}/ws"
    with pytest.raises(EndpointUnreachable, match=f"cannot reach the alert endpoint at {url}"):
        async with AlertClient(url):
            pass


@pytest.mark.parametrize("url", ["http://127.0.0.1/ws", "invalid", "ws://"])
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(EndpointUnreachable, match="cannot reach"):
        async with AlertClient(url):
            pass


async def test_a_name_the_endpoint_refuses(endpoint: Endpoint) -> None:
    with pytest.raises(EndpointUnreachable, match=r"HTTP 400.*letters"):
        async with AlertClient(endpoint.url, name="no good"):
            pass


async def test_a_named_client_gets_what_fired_while_it_was_cut_off(proxy: Proxy, exchange: Exchange) -> None:
    async with AlertClient(proxy.url, name="bot") as client:
        for price in (10, 20, 30):
            await client.watch("btcusdt", above=price)
        await exchange.trade("binance:BTC-USDT", 10.0)
        assert [alert.price for alert in await next_alerts(client, 1)] == [10.0]
        proxy.refuse = True
        proxy.drop()
        await exchange.trade("binance:BTC-USDT", 20.0)
        proxy.refuse = False
        await exchange.trade("binance:BTC-USDT", 30.0)
        assert [alert.event_id for alert in await next_alerts(client, 2)] == [2, 3]
        assert client.watches == []


async def test_a_named_client_cut_off_before_its_first_alert_misses_nothing(
    proxy: Proxy, exchange: Exchange
) -> None:
    async with AlertClient(proxy.url, name="bot") as client:
        await client.watch("btcusdt", above=10)
        proxy.refuse = True
        proxy.drop()
        await exchange.trade("binance:BTC-USDT", 10.0)
        proxy.refuse = False
        assert [alert.event_id for alert in await next_alerts(client, 1)] == [1]


async def test_an_unnamed_client_asks_again_after_a_reconnect(proxy: Proxy, exchange: Exchange) -> None:
    async with AlertClient(proxy.url) as client:
        watch = await client.watch("btcusdt", above=10)
        first_rule = watch.rule_id
        proxy.drop()
        await eventually(lambda: watch.rule_id != first_rule)
        await exchange.trade("binance:BTC-USDT", 10.0)
        (alert,) = await next_alerts(client, 1)
        assert alert.rule_id == watch.rule_id


async def test_after_all_that_is_kept_comes_first(endpoint: Endpoint, exchange: Exchange) -> None:
    async with AlertClient(endpoint.url, name="bot") as client:
        await client.watch("btcusdt", above=10)
        await client.watch("btcusdt", above=20)
    await exchange.trade("binance:BTC-USDT", 10.0)
    async with AlertClient(endpoint.url, name="bot", after=0) as client:
        await exchange.trade("binance:BTC-USDT", 20.0)
        assert [alert.price for alert in await next_alerts(client, 2)] == [10.0, 20.0]


def test_an_alert_is_read() -> None:
    frame = (
        '{"type":"alert","event_id":1,"rule_id":2,"symbol":"BTC-USDC","exchange":"binance","price":3.5,'
        '"ts":"2026-01-02T03:04:05.678901Z","message":"Take profit on btcusdc"}'
    )
    assert read_frame(frame) == Alert(
        event_id=1,
        rule_id=2,
        symbol="BTC-USDC",
        exchange="binance",
        price=3.5,
        ts_us=1_767_323_045_678_901,
        message="Take profit on btcusdc",
    )


def test_kinds_of_frames_that_are_yet_unknown_are_skipped() -> None:
    assert read_frame('{"type":"news"}') is None


@given(st.text() | st.binary())
def test_junk_is_a_bad_message(frame: str | bytes) -> None:
    with suppress(BadMessage):
        read_frame(frame)
