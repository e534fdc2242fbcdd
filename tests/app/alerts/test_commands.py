"""``coinwatch alerts`` and ``coinwatch watch`` as processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL
from websockets.exceptions import ConnectionClosed

from tests.app.alerts.conftest import MARKETS, Endpoint, Exchange
from tests.waiting import eventually
from warehouse.embedded.ports import free_port

COINWATCH = (sys.executable, "-c", "from app.cli.main import main; main()")

Environment = Callable[[int], Mapping[str, str]]


@pytest.fixture
def environment(database: URL, tmp_path: Path) -> Environment:
    def make(port: int) -> Mapping[str, str]:
        url = database.set(drivername="postgresql").render_as_string(hide_password=False)
        return {
            "COINWATCH_DATABASE_URL": url,
            "COINWATCH_DATA_DIR": str(tmp_path),
            "COINWATCH_ALERTS_PORT": str(port),
            "COINWATCH_MARKETS": ",".join(MARKETS),
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "COLUMNS": "200",
        }

    return make


@asynccontextmanager
async def command(name: str, environment: Mapping[str, str], *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(*COINWATCH, name, *arguments),
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def endpoint_process(environment: Environment) -> AsyncIterator[tuple[Endpoint, Process]]:
    endpoint = Endpoint(free_port())
    async with command("alerts", environment(endpoint.port)) as process:
        await eventually(endpoint.healthy, timeout_s=90)
        yield endpoint, process


async def finished(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_sigterm_closes_sockets_with_1001_and_exits_0(
    environment: Environment, exchange: Exchange
) -> None:
    async with endpoint_process(environment) as (endpoint, process), endpoint.client() as client:
        await client.ask(cmd="watch", symbol="btcusdt", price=1e9)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            await client.read()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert (await finished(process))[0] == 0


async def test_a_busy_port_is_one_line_and_exit_1(environment: Environment, endpoint: Endpoint) -> None:
    async with command("alerts", environment(endpoint.port)) as process:
        code, _, err = await finished(process)
    assert code == 1
    assert err.splitlines()[-1].startswith(
        f"coinwatch: COINWATCH_ALERTS_PORT: port {endpoint.port} on 127.0.0.1 is in use"
    )
    assert "Traceback" not in err


async def test_two_processes_one_killed_send_each_alert_once(
    environment: Environment, exchange: Exchange
) -> None:
    async with AsyncExitStack() as stack:
        (kept, doomed), (two, _) = [
            await stack.enter_async_context(endpoint_process(environment)) for _ in range(2)
        ]
        async with kept.client("?client=bot") as client:
            for price in range(1, 201):
                await client.ask(cmd="watch", symbol="btcusdt", price=price)
            for price in range(1, 100):
                await exchange.trade("binance:BTC-USDT", float(price), 0.5)
            seen = [(await client.read())["event_id"] for _ in range(50)]
            doomed.kill()
        for price in range(100, 201):
            await exchange.trade("kraken:BTC-USDT", float(price), 0.5)
        async with two.client(f"?client=bot&after={seen[-1]}") as client:
            seen += [(await client.read())["event_id"] for _ in range(150)]
            await client.nothing_more()
        assert seen == list(range(1, 201))


async def test_watch_prints_alerts_for_people_and_ends_when_all_have_fired(
    environment: Environment, endpoint: Endpoint, exchange: Exchange
) -> None:
    arguments = ("btc/usdt", "--above", "100", "--below", "50")
    async with command("watch", environment(endpoint.port), *arguments) as process:
        await eventually(lambda: watching(endpoint, 2))
        await exchange.trade("binance:BTC-USDT", 100.5)
        await exchange.trade("kraken:BTC-USDT", 49.0)
        code, out, _ = await finished(process)
    assert code == 0
    assert "Watching btc/usdt for at or above 100\n" in out
    assert "BTC-USDT 100.5  BTC-USDT traded at 100.5 on binance, at or above 100  event 1" in out
    assert "traded at 49 on kraken, at or below 50  event 2" in out


async def test_watch_prints_json_for_programs(
    environment: Environment, endpoint: Endpoint, exchange: Exchange
) -> None:
    arguments = ("btcusdt", "--above", "1", "--below", "0.5", "--json", "--once")
    async with command("watch", environment(endpoint.port), *arguments) as process:
        await eventually(lambda: watching(endpoint, 2))
        await exchange.trade("binance:BTC-USDT", 2.0)
        code, out, _ = await finished(process)
    assert code == 0
    (alert,) = map(json.loads, out.splitlines())
    assert (alert["event_id"], alert["symbol"], alert["price"]) == (1, "BTC-USDT", 2.0)


async def test_watch_takes_any_condition_and_terms(
    environment: Environment, endpoint: Endpoint, exchange: Exchange
) -> None:
    arguments = (
        "btcusdt",
        "--above",
        "100",
        "--crosses",
        "100",
        "--together",
        "--template",
        "{price}!",
        "--once",
    )
    async with command("watch", environment(endpoint.port), *arguments) as process:
        await eventually(lambda: watching(endpoint, 1))
        for price in (90.0, 101.0):
            await exchange.trade("binance:BTC-USDT", price)
        code, out, _ = await finished(process)
    assert code == 0
    assert "for at or above 100 and crossing 100\n" in out
    assert "101!" in out


async def test_watch_prints_a_preview(
    environment: Environment, endpoint: Endpoint, exchange: Exchange
) -> None:
    for price in (99.0, 101.0, 98.0, 103.0):
        await exchange.trade("binance:BTC-USDT", price)
    arguments = ("btcusdt", "--above", "100", "--repeat", "--preview", "1h")
    async with command("watch", environment(endpoint.port), *arguments) as process:
        code, out, _ = await finished(process)
    assert code == 0
    assert "BTC-USDT 101  BTC-USDT traded at 101 on binance, at or above 100\n" in out
    assert "at or above 100: 2 times since" in out
    async with command("watch", environment(endpoint.port), *arguments, "--json") as process:
        code, out, _ = await finished(process)
    assert [json.loads(line)["price"] for line in out.splitlines()] == [101, 103]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_watch_ends_cleanly(
    environment: Environment, endpoint: Endpoint, number: signal.Signals
) -> None:
    async with command("watch", environment(endpoint.port), "btcusdt", "--above", "1") as process:
        await eventually(lambda: watching(endpoint, 1))
        process.send_signal(number)
        code, _, err = await finished(process)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("btcusd", "--above", "1"), 1, "coinwatch: 'btcusd': no market trades BTC-USD here"),
        (("btcusdt", "--above", "nan"), 2, "price is NaN (a finite number above 0"),
        (("btcusdt",), 2, "give --above PRICE, --below PRICE or another condition"),
    ],
)
async def test_watch_prints_what_is_wrong(
    environment: Environment, endpoint: Endpoint, arguments: tuple[str, ...], code: int, text: str
) -> None:
    async with command("watch", environment(endpoint.port), *arguments) as process:
        result, _, err = await finished(process)
    assert result == code
    assert text in err
    assert "Traceback" not in err


async def test_watch_without_an_endpoint_prints_its_address(environment: Environment) -> None:
    port = free_port()
    async with command("watch", environment(port), "btcusdt", "--above", "1") as process:
        code, _, err = await finished(process)
    assert code == 1
    assert err.startswith(f"coinwatch: cannot reach the alert endpoint at ws://127.0.0.1:{port}/ws:")
    assert len(err.splitlines()) == 1


async def watching(endpoint: Endpoint, rules: int) -> bool:
    health = (await endpoint.get("/healthz")).json()
    return bool(health["rules"] == rules)
