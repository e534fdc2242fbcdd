"""The stream of prices and the classes for threads, against a real endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from coinwatch.client import PriceStream, PriceUpdate, sync
from coinwatch.client.prices import read_update
from coinwatch.errors import BadMessage, CommandRefused, EndpointUnreachable
from coinwatch.times import SECOND_US
from tests.app.alerts.averaging import Averager, a_while_ago
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.app.alerts.proxy import Proxy
from warehouse.db.connect import connect
from warehouse.embedded.ports import free_port


@pytest.fixture
def markets() -> tuple[str, ...]:
    return ("coinbase:BTC-USD", "kraken:BTC-EUR", "binance:BTC-USDT")


@pytest.fixture
async def averager(database: URL) -> AsyncIterator[Averager]:
    async with await connect(database, application_name="test averager") as conn:
        yield Averager(conn)


def prices_url(ws_url: str) -> str:
    return ws_url.removesuffix("/ws") + "/prices"


async def next_updates(stream: PriceStream, count: int) -> list[PriceUpdate]:
    async with asyncio.timeout(90), aclosing(aiter(stream)) as updates:
        return [await anext(updates) for _ in range(count)]


async def test_updates_of_several_currencies(averager: Averager, endpoint: Endpoint) -> None:
    began = a_while_ago()
    await averager.store(began, BTC_USD=2.0, BTC_EUR=1.0)
    since = datetime.fromtimestamp(began, UTC)
    async with PriceStream(prices_url(endpoint.url), ["usd", "EUR"], since=since) as stream:
        await averager.store(began + 10, BTC_USD=4.0, BTC_EUR=3.0)
        assert await next_updates(stream, 4) == [
            PriceUpdate(ts_us=began * SECOND_US, currency="USD", price=2.0),
            PriceUpdate(ts_us=began * SECOND_US, currency="EUR", price=1.0),
            PriceUpdate(ts_us=(began + 10) * SECOND_US, currency="USD", price=4.0),
            PriceUpdate(ts_us=(began + 10) * SECOND_US, currency="EUR", price=3.0),
        ]


async def test_what_was_stored_while_cut_off_comes_once(averager: Averager, endpoint: Endpoint) -> None:
    began = a_while_ago()
    since = datetime.fromtimestamp(began, UTC)
    async with (
        Proxy(endpoint.port) as proxy,
        PriceStream(prices_url(proxy.url), ["USD", "EUR"], since=since) as stream,
    ):
        await averager.store(began, BTC_USD=1.0, BTC_EUR=2.0)
        async with asyncio.timeout(90), aclosing(aiter(stream)) as updates:
            first = [await anext(updates) for _ in range(2)]
            proxy.refuse = True
            proxy.drop()
            for number in range(1, 4):
                await averager.store(began + 5 * number, BTC_USD=1.0 + number, BTC_EUR=2.0 + number)
            proxy.refuse = False
            more = [await anext(updates) for _ in range(6)]
    assert [(update.currency, update.price) for update in first + more] == [
        (currency, price + number) for number in range(4) for currency, price in (("USD", 1.0), ("EUR", 2.0))
    ]


async def test_meta(averager: Averager, endpoint: Endpoint) -> None:
    began = a_while_ago()
    await averager.store(began, BTC_USD=2.0, exchanges=("kraken", "okx"))
    async with PriceStream(prices_url(endpoint.url), interval_s=1, meta=True) as stream:
        (update,) = await next_updates(stream, 1)
    assert (update.currency, update.pair, update.stale) == ("USD", "BTC-USD", True)
    assert update.exchanges == ("kraken", "okx")
    assert update.age_s == (update.ts_us - began * SECOND_US) / SECOND_US


async def test_what_cannot_be_had(endpoint: Endpoint) -> None:
    with pytest.raises(CommandRefused, match="available are EUR, USD, USDT") as refused:
        async with PriceStream(prices_url(endpoint.url), ["XXX"]):
            pass
    assert refused.value.code == "unknown_currency"
    with pytest.raises(EndpointUnreachable, match="cannot reach"):
        async with PriceStream(f"ws://127.0.0.1:{free_port()}/prices"):
            pass


async def test_prices_without_a_loop(averager: Averager, endpoint: Endpoint) -> None:
    began = a_while_ago()
    await averager.store(began, BTC_USD=2.0)
    await averager.store(began + 5, BTC_USD=3.0)

    def read() -> list[float]:
        since = datetime.fromtimestamp(began, UTC)
        with sync.PriceStream(prices_url(endpoint.url), since=since) as stream:
            updates = iter(stream)
            return [next(updates).price for _ in range(2)]

    assert await asyncio.to_thread(read) == [2.0, 3.0]


async def test_alerts_without_a_loop(endpoint: Endpoint, exchange: Exchange) -> None:
    watching = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> tuple[float | None, int]:
        with sync.AlertClient(endpoint.url, name="bot") as client:
            gone = client.watch("btcusdt", below=1)
            client.unwatch(gone.rule_id or 0)
            watch = client.watch("btcusdt", condition={"type": "above", "price": 10}, note="up")
            assert [rule.rule_id for rule in client.rules()] == [watch.rule_id]
            assert client.snooze(watch.rule_id or 0, "1h").snoozed_until_us is not None
            assert client.resume(watch.rule_id or 0).snoozed_until_us is None
            assert client.preview("btcusdt", since="1h", above=10).count == 0
            assert client.watches == [watch]
            loop.call_soon_threadsafe(watching.set)
            return next(iter(client)).price, client.last_event_id or 0

    waiting = asyncio.create_task(asyncio.to_thread(wait))
    await watching.wait()
    await exchange.trade("binance:BTC-USDT", 11.0)
    assert await waiting == (11.0, 1)


def test_no_endpoint_without_a_loop() -> None:
    with (
        pytest.raises(EndpointUnreachable, match="cannot reach"),
        sync.AlertClient(f"ws://127.0.0.1:{free_port()}/ws"),
    ):
        pass


@given(st.text() | st.binary())
def test_junk_is_a_bad_message(frame: str | bytes) -> None:
    with suppress(BadMessage):
        read_update(frame, "USD")
