"""``coinwatch prices`` as a process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import URL

from tests.app.alerts.averaging import Averager, a_while_ago
from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.test_commands import Environment, command, environment
from warehouse.db.connect import connect
from warehouse.embedded.ports import free_port

__all__ = ["environment"]


@pytest.fixture
def markets() -> tuple[str, ...]:
    return ("coinbase:BTC-USD", "kraken:BTC-EUR")


@pytest.fixture
async def averager(database: URL) -> AsyncIterator[Averager]:
    async with await connect(database, application_name="test averager") as conn:
        yield Averager(conn)


@pytest.fixture
async def endpoint_of_prices(start: Callable[[], Awaitable[Endpoint]]) -> Endpoint:
    return await start()


async def output(environment: Environment, port: int, *arguments: str) -> tuple[int | None, str, str]:
    async with asyncio.timeout(100), command("prices", environment(port), *arguments) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def test_prices_for_people_and_for_programs(
    environment: Environment, averager: Averager, endpoint_of_prices: Endpoint
) -> None:
    began = a_while_ago()
    await averager.store(began, BTC_USD=70_000.5, BTC_EUR=60_000.0)
    await averager.store(began + 5, BTC_USD=70_001.5)
    since = datetime.fromtimestamp(began, UTC)
    asked = ("usd", "eur", "--since", since.strftime("%Y-%m-%dT%H:%M:%S"), "--count", "3")
    code, out, _ = await output(environment, endpoint_of_prices.port, *asked)
    assert code == 0
    assert out.splitlines() == [
        f"{since:%Y-%m-%d %H:%M:%S} UTC  BTC 70,000.5 USD",
        f"{since:%Y-%m-%d %H:%M:%S} UTC  BTC 60,000 EUR",
        f"{since.replace(second=5):%Y-%m-%d %H:%M:%S} UTC  BTC 70,001.5 USD",
    ]
    code, out, _ = await output(environment, endpoint_of_prices.port, *asked, "--json")
    assert code == 0
    assert [json.loads(line)["price"] for line in out.splitlines()] == [70_000.5, 60_000.0, 70_001.5]
    assert json.loads(out.splitlines()[0]) == {
        "timedate": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        "price": 70_000.5,
        "currency": "USD",
    }
    code, out, _ = await output(
        environment, endpoint_of_prices.port, "--interval", "1", "--meta", "--count", "1", "--json"
    )
    assert (code, json.loads(out)["stale"]) == (0, True)


async def test_what_is_wrong_is_one_clear_line(
    environment: Environment, endpoint_of_prices: Endpoint
) -> None:
    code, _, err = await output(environment, endpoint_of_prices.port, "XXX")
    assert (code, err) == (
        1,
        "coinwatch: no average of BTC in XXX is computed (available are EUR, USD)\n",
    )
    code, _, err = await output(environment, free_port())
    assert code == 1
    assert "cannot reach the alert endpoint" in err
    code, _, err = await output(environment, endpoint_of_prices.port, "--since", "yesterday")
    assert code == 2
    assert "2026-01-15T12:00" in err
