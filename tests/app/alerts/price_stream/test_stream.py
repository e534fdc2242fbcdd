"""The stream of prices, from a plain websocket client."""

from __future__ import annotations

import asyncio
import json
import socket as socket_module
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection
from sqlalchemy import URL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from coinwatch.times import SECOND_US, now_us, utc_day
from tests.app.alerts.averaging import Averager, a_while_ago
from tests.app.alerts.conftest import DOCS, Endpoint
from tests.waiting import eventually
from warehouse.db.connect import connect as connect_postgres
from warehouse.db.partitions import ensure_average_days

Start = Callable[[], Awaitable[Endpoint]]


@pytest.fixture
def markets() -> tuple[str, ...]:
    return ("coinbase:BTC-USD", "kraken:BTC-EUR", "binance:BTC-USDT")


@pytest.fixture
async def endpoint(start: Start) -> Endpoint:
    return await start()


@pytest.fixture
async def averager(database: URL) -> AsyncIterator[Averager]:
    async with await connect_postgres(database, application_name="test averager") as conn:
        yield Averager(conn)


@asynccontextmanager
async def prices(endpoint: Endpoint, query: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{endpoint.port}/prices?{query}", close_timeout=1) as socket:
        yield socket


async def read(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def refused(endpoint: Endpoint, query: str) -> dict[str, Any]:
    answer = await endpoint.get(f"/prices?{query}")
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.headers["content-type"] == "application/json"
    text: dict[str, Any] = answer.json()
    assert text.keys() == {"code", "message", "hint"}
    return text


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_one_currency_gives_exactly_timedate_and_price(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    for second in range(12):
        await averager.store(began + second, BTC_USD=70_000.5 + second)
    endpoint = await start()
    async with prices(endpoint, f"currency=USD&since_date={began}") as socket:
        assert await read(socket, 3) == [
            {"timedate": iso(began), "price": 70_000.5},
            {"timedate": iso(began + 5), "price": 70_005.5},
            {"timedate": iso(began + 10), "price": 70_010.5},
        ]
        await averager.store(began + 12, BTC_USD=1.0)
        await averager.store(began + 15, BTC_USD=2.0)
        await averager.store(began + 16, BTC_USD=3.0)
        await averager.store(began + 20, BTC_USD=4.0)
        assert await read(socket, 2) == [
            {"timedate": iso(began + 15), "price": 2.0},
            {"timedate": iso(began + 20), "price": 4.0},
        ]


async def test_several_currencies_are_named_and_in_the_order_asked_for(
    averager: Averager, start: Start
) -> None:
    began = a_while_ago()
    for second in (0, 5):
        await averager.store(began + second, BTC_EUR=60.0 + second, BTC_USD=70.0 + second)
    endpoint = await start()
    async with prices(endpoint, f"currency=USD&currency=eur&since_date={iso(began)}") as socket:
        await averager.store(began + 10, BTC_EUR=1.0, BTC_USD=2.0)
        assert await read(socket, 6) == [
            {"timedate": iso(began), "price": 70.0, "currency": "USD"},
            {"timedate": iso(began), "price": 60.0, "currency": "EUR"},
            {"timedate": iso(began + 5), "price": 75.0, "currency": "USD"},
            {"timedate": iso(began + 5), "price": 65.0, "currency": "EUR"},
            {"timedate": iso(began + 10), "price": 2.0, "currency": "USD"},
            {"timedate": iso(began + 10), "price": 1.0, "currency": "EUR"},
        ]


async def test_without_since_date_only_new_prices_are_sent(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    await averager.store(began + 1, BTC_USD=1.0)
    endpoint = await start()
    async with prices(endpoint, "currency=USD") as socket:
        reading = asyncio.create_task(read(socket, 1))
        second = 4
        while not reading.done():  # it is sent of from when the endpoint has begun to follow
            await averager.store(began + second, BTC_USD=float(second))
            second += 1
            await asyncio.sleep(0.05)
    [update] = await reading
    assert update["price"] >= 5
    assert update["timedate"] == iso(began + int(update["price"]))


async def test_an_interval_of_which_the_first_second_is_missing(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    await averager.store(began + 2, BTC_USD=2.0)
    await averager.store(began + 3, BTC_USD=3.0)
    endpoint = await start()
    async with prices(endpoint, f"currency=USD&since_date={began}") as socket:
        await averager.store(began + 13, BTC_USD=13.0)
        assert await read(socket, 2) == [
            {"timedate": iso(began), "price": 2.0},
            {"timedate": iso(began + 10), "price": 13.0},
        ]


async def test_since_date_may_be_within_an_interval(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    for second in range(21):
        await averager.store(began + second, ETH_USD=float(second))
    endpoint = await start()
    query = f"symbol=eth&currency=USD&interval=10&since_date={began + 3}.5"
    async with prices(endpoint, query) as socket:
        assert [update["price"] for update in await read(socket, 2)] == [10.0, 20.0]


async def test_tethers_stand_for_dollars_without_a_dollar_market(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    await averager.store(began, SOL_USDT=150.0, SOL_USDC=151.0)
    endpoint = await start()
    async with prices(endpoint, f"symbol=SOL&currency=USD&meta=1&since_date={began}") as socket:
        (update,) = await read(socket, 1)
    assert (update["price"], update["pair"]) == (150.0, "SOL-USDT")


async def test_replay_and_live_join_without_gap_or_repeat(averager: Averager, start: Start) -> None:
    began = a_while_ago(7_200)
    total = 5_000
    await averager.store(began, BTC_USD=0.5)
    await fill(averager.conn, began + 1, total)
    first, other = await start(), await start()

    async def go_on() -> None:
        for second in range(total, total + 300):
            await averager.store(began + second, BTC_USD=second + 0.5)

    async def all_of(endpoint: Endpoint) -> list[dict[str, Any]]:
        async with prices(endpoint, f"currency=USD&interval=1&since_date={began}") as socket:
            return await read(socket, total + 300)

    async with asyncio.timeout(200), asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on())
        reading = []
        for endpoint in (first, other, first):
            reading.append(tasks.create_task(all_of(endpoint)))
            await asyncio.sleep(0.05)
    expected = [{"timedate": iso(began + second), "price": second + 0.5} for second in range(total + 300)]
    assert all(task.result() == expected for task in reading)


async def test_an_empty_decade_is_passed_over(averager: Averager, start: Start) -> None:
    began = a_while_ago()
    await averager.store(began - 40 * 86_400, BTC_USD=1.0)
    await averager.store(began, BTC_USD=2.0)
    endpoint = await start()
    async with prices(endpoint, "currency=USD&interval=1&since_date=1262304000") as socket:
        assert [update["price"] for update in await read(socket, 2)] == [1.0, 2.0]


async def test_too_many_updates_are_refused_with_the_date_that_fits(averager: Averager, start: Start) -> None:
    began = a_while_ago(120_000)
    await averager.store(began, BTC_USD=0.5)
    await averager.store(began + 86_400, BTC_USD=0.5)
    await fill(averager.conn, began + 1, 86_400)
    await fill(averager.conn, began + 86_401, 20_000)
    endpoint = await start()
    text = await refused(endpoint, f"currency=USD&interval=1&since_date={began}")
    assert text["code"] == "too_many_updates"
    earliest = began + 86_401 + 19_999 - 100_000
    assert iso(earliest) in text["hint"]
    async with prices(endpoint, f"currency=USD&interval=1&since_date={iso(earliest)}") as socket:
        (first,) = await read(socket, 1)
        assert first["timedate"] == iso(earliest)
    async with prices(endpoint, f"currency=USD&interval=5&since_date={began}") as socket:
        await read(socket, 1)


async def test_meta_goes_on_while_sources_are_down(averager: Averager, start: Start) -> None:
    now = now_us() // SECOND_US
    await averager.store(now - 30, BTC_USD=5.0, exchanges=("kraken", "bitstamp"))
    endpoint = await start()
    async with (
        prices(endpoint, "currency=USD&interval=1&meta=1") as received,
        prices(endpoint, "currency=USD&interval=1") as paused,
    ):
        first, second = await read(received, 2)
        assert first.keys() == {"timedate", "price", "pair", "stale", "age_s", "exchanges"}
        assert (first["price"], first["stale"], first["exchanges"]) == (5.0, True, ["kraken", "bitstamp"])
        assert second["age_s"] == first["age_s"] + 1 >= 28
        later = now_us() // SECOND_US + 30
        await averager.store(later, BTC_USD=6.0)
        while (update := (await read(received, 1))[0])["stale"]:
            pass
        assert [update] == [
            {
                "timedate": iso(later),
                "price": 6.0,
                "pair": "BTC-USD",
                "stale": False,
                "age_s": 0.0,
                "exchanges": ["kraken"],
            }
        ]
        assert await read(paused, 1) == [{"timedate": iso(later), "price": 6.0}]


async def test_what_was_stored_while_the_connections_were_lost_is_sent(
    averager: Averager, endpoint: Endpoint
) -> None:
    began = a_while_ago()
    await averager.store(began, BTC_USD=1.0)
    async with prices(endpoint, f"currency=USD&since_date={began}") as socket:
        assert [update["price"] for update in await read(socket, 1)] == [1.0]
        for number in range(1, 4):
            await averager.conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like 'coinwatch alerts%'"
            )
            await averager.store(began + 5 * number, BTC_USD=1.0 + number)
        assert [update["price"] for update in await read(socket, 3)] == [2.0, 3.0, 4.0]


@pytest.mark.proof
async def test_a_client_that_does_not_read_is_cut_off_with_the_date_to_go_on(
    averager: Averager,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("app.alerts.price_stream.stream.SEND_TIMEOUT_S", 0.3)
    began = a_while_ago(100_000)
    await averager.store(began, BTC_USD=0.5)
    await fill(averager.conn, began + 1, 90_000)
    url = f"ws://127.0.0.1:{endpoint.port}/prices?currency=USD&interval=1&meta=1&since_date={began}"
    narrow = socket_module.socket()
    narrow.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4_096)
    narrow.connect(("127.0.0.1", endpoint.port))
    async with connect(url, sock=narrow, max_queue=1, compression=None, close_timeout=1) as socket:
        await eventually(lambda: "cut off" in capsys.readouterr().out, timeout_s=90)
        received: list[dict[str, Any]] = []
        with pytest.raises(ConnectionClosed) as closed:
            await keep_reading(socket, received)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.TRY_AGAIN_LATER
    reason, _, date = closed.value.rcvd.reason.partition("since_date=")
    assert reason.startswith("too slow: a frame waited")
    assert date.startswith(received[-1]["timedate"])


async def keep_reading(socket: ClientConnection, received: list[dict[str, Any]]) -> None:
    while True:
        received.append(json.loads(await socket.recv()))


async def test_a_stream_refuses_commands(averager: Averager, start: Start) -> None:
    await averager.store(a_while_ago(), BTC_USD=1.0)
    endpoint = await start()
    async with prices(endpoint, "currency=USD") as socket:
        await socket.send('{"cmd":"ping"}')
        (answer,) = await read(socket, 1)
        assert (answer["type"], answer["code"]) == ("error", "nothing_asked")


async def test_what_cannot_be_had_is_refused_with_what_can(endpoint: Endpoint) -> None:
    assert (await refused(endpoint, ""))["code"] == "missing_field"
    assert (await refused(endpoint, "currency=USD&interval=0"))["code"] == "bad_interval"
    symbol = await refused(endpoint, "currency=USD&symbol=BTV")
    assert symbol["code"] == "unknown_symbol"
    assert "BTC" in symbol["hint"]
    currency = await refused(endpoint, "currency=XXX")
    assert currency["code"] == "unknown_currency"
    assert currency["hint"] == "available are EUR, USD, USDT"
    with pytest.raises(InvalidStatus) as rejected:
        async with prices(endpoint, "currency=XXX"):
            pass
    assert json.loads(rejected.value.response.body) == currency


async def test_the_examples_of_the_page(averager: Averager, start: Start) -> None:
    noon = 1_768_478_400
    await averager.store(noon, BTC_USD=70_012.5, BTC_EUR=60_211.0)
    await averager.store(noon + 5, BTC_USD=70_013.25, exchanges=("coinbase", "kraken"))
    endpoint = await start()
    page = (DOCS / "prices.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```text\n")[1:]]
    examples = [example.splitlines() for block in blocks for example in block.strip().split("\n\n")]
    single, several, meta, refusal = [(path, [line[2:] for line in lines]) for path, *lines in examples]
    for path, lines in (single, several):
        async with connect(f"ws://127.0.0.1:{endpoint.port}{path}") as socket:
            async with asyncio.timeout(10):
                assert [await socket.recv() for _ in lines] == lines
    async with prices(endpoint, "currency=USD&meta=1&interval=1") as socket:
        (received,) = await read(socket, 1)
        stale = json.loads(meta[1][1])
        assert list(received) == list(stale)
        assert {**received, "timedate": stale["timedate"], "age_s": stale["age_s"]} == stale
    assert [(await endpoint.get(refusal[0])).text.strip()] == [
        json.dumps(json.loads(line)) for line in refusal[1]
    ]


async def fill(conn: AsyncConnection, first: int, count: int) -> None:
    """Copies of the row before ``first``, one a second, each a greater price."""
    days = {utc_day((first + second) * SECOND_US) for second in range(0, count + 3_600, 3_600)}
    await ensure_average_days(conn, days)
    await conn.execute(
        """
        insert into price_averages
        select one.ts + number * interval '1 second', one.price + number, one.confidence, null, null, null,
               one.base, one.quote, one.method, one.state, one.exchanges, one.inputs
        from price_averages one, generate_series(1, %s) as number
        where one.ts = to_timestamp(%s)
        """,
        (count - 1, first - 1),
    )
