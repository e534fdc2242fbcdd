"""One request limit for all processes, in Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL

from coinwatch.errors import Retryable, WarehouseError
from sources.budgets import Budget
from sources.exchanges.base import RateLimit
from warehouse.db.connect import connect, engine
from warehouse.ops.budgets import WarehouseBudget, calls_this_month, months_of_calls

SLOW = RateLimit(capacity=6, per_second=0.001)


@pytest.fixture
def pool(database: URL) -> Iterator[sqlalchemy.Engine]:
    pool = engine(database, application_name="test")
    yield pool
    pool.dispose()


async def open_budget(database: URL) -> tuple[WarehouseBudget, psycopg.AsyncConnection]:
    conn = await connect(database, application_name="test budgets")
    return WarehouseBudget(conn), conn


async def granted(budget: Budget, limit: RateLimit, tries: int, reserve: float = 0.0) -> int:
    """How many of ``tries`` askers at once are let through soon."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(0.5):
                await budget.acquire("api.example.com", "ip", limit, 1, reserve)
        except TimeoutError:
            return False
        return True

    return sum(await asyncio.gather(*(ask() for _ in range(tries))))


async def test_two_connections_share_one_limit(database: URL) -> None:
    first, first_conn = await open_budget(database)
    second, second_conn = await open_budget(database)
    async with first_conn, second_conn:
        together = await asyncio.gather(granted(first, SLOW, 6), granted(second, SLOW, 6))
        assert sum(together) == 6
        await first.acquire("other.example.com", "ip", SLOW, 1)
        row = await (
            await first_conn.execute(
                "select tokens, calls_this_month from api_budgets where host = 'api.example.com'"
            )
        ).fetchone()
    assert row is not None
    assert 0 <= row[0] < 1
    assert row[1] == 6


async def test_the_rate_over_time_is_kept_by_two_together(database: URL) -> None:
    limit = RateLimit(capacity=4, per_second=50)
    first, first_conn = await open_budget(database)
    second, second_conn = await open_budget(database)

    async def spend(budget: WarehouseBudget) -> None:
        for _ in range(15):
            await budget.acquire("host", "ip", limit, 1)

    async with first_conn, second_conn:
        start_s = time.monotonic()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(spend(first))
            group.create_task(spend(second))
        took_s = time.monotonic() - start_s
    assert took_s >= (30 - 4) / 50 - 0.02


async def test_the_last_third_is_left_to_those_without_reserve(database: URL) -> None:
    budget, conn = await open_budget(database)
    async with conn:
        assert await granted(budget, SLOW, 6, reserve=1 / 3) == 4
        assert await granted(budget, SLOW, 6) == 2


async def test_a_block_holds_every_connection(database: URL) -> None:
    first, first_conn = await open_budget(database)
    second, second_conn = await open_budget(database)
    async with first_conn, second_conn:
        await first.block("api.example.com", "ip", 3_600)
        await second.block("api.example.com", "ip", 0.1)  # does not shorten the first
        with pytest.raises(Retryable) as caught:
            await second.acquire("api.example.com", "ip", SLOW, 1)
        assert caught.value.retry_after_s == pytest.approx(3_600, abs=60)


async def test_a_short_block_is_sat_out(database: URL) -> None:
    budget, conn = await open_budget(database)
    limit = RateLimit(capacity=6, per_second=100)
    async with conn, asyncio.timeout(10):
        await budget.acquire("host", "ip", limit, 1)
        start_s = time.monotonic()
        await budget.block("host", "ip", 0.3)
        await budget.acquire("host", "ip", limit, 1)
        assert time.monotonic() - start_s >= 0.29


async def test_calls_are_counted_by_month(database: URL) -> None:
    budget, conn = await open_budget(database)
    async with conn:
        await budget.acquire("host", "ip", SLOW, 1)
        await budget.acquire("host", "ip", SLOW, 1)
        await conn.execute("update api_budgets set month = month - interval '1 month'")
        await budget.acquire("host", "ip", SLOW, 1)
        row = await (await conn.execute("select calls_this_month from api_budgets")).fetchone()
    assert row == (1,)


async def test_a_request_dearer_than_the_bucket_leaves_debt(database: URL) -> None:
    budget, conn = await open_budget(database)
    limit = RateLimit(capacity=6, per_second=50)
    async with conn, asyncio.timeout(10):
        await budget.acquire("host", "ip", limit, 1)
        await budget.acquire("host", "ip", limit, 20)
        start_s = time.monotonic()
        await budget.acquire("host", "ip", limit, 1)
        assert time.monotonic() - start_s >= 0.25


async def test_a_lost_connection_is_a_warehouse_error(database: URL) -> None:
    budget, conn = await open_budget(database)
    await conn.close()
    with pytest.raises(WarehouseError, match="request budgets"):
        await budget.acquire("host", "ip", SLOW, 1)


MONTHLY = RateLimit(capacity=1_000, per_second=1_000, scope="key", per_month=25)


async def test_no_process_exceeds_the_monthly_limit(database: URL) -> None:
    """Four connections with 20 askers each, at once: exactly as many pass as the month has."""
    opened = [await open_budget(database) for _ in range(4)]

    try:
        asking = (budget.acquire("api.example.com", "key", MONTHLY, 1) for budget, _ in opened * 20)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Retryable)]
        assert (answers.count(None), len(refused)) == (25, 55)
        assert "all 25 calls of this month are spent" in str(refused[0])
        assert refused[0].retry_after_s is not None
        assert 0 < refused[0].retry_after_s <= 31 * 86_400
        assert await calls_this_month(opened[0][1], "api.example.com", "key") == 25
    finally:
        for _, conn in opened:
            await conn.close()


async def test_a_new_month_has_all_its_calls_and_what_is_left_can_be_read(
    database: URL, pool: sqlalchemy.Engine
) -> None:
    budget, conn = await open_budget(database)
    async with conn:
        for _ in range(25):
            await budget.acquire("api.example.com", "key", MONTHLY, 1)
        await budget.acquire("elsewhere.example.com", "ip", SLOW, 1)
        with pool.connect() as reader:
            (month,) = months_of_calls(reader)
        assert (month.host, month.scope, month.calls, month.allowed, month.left) == (
            "api.example.com",
            "key",
            25,
            25,
            0,
        )
        await conn.execute("update api_budgets set month = month - interval '1 month'")
        assert await calls_this_month(conn, "api.example.com", "key") == 0
        with pool.connect() as reader:
            assert months_of_calls(reader)[0].left == 25
        await budget.acquire("api.example.com", "key", MONTHLY, 1)
        assert await calls_this_month(conn, "api.example.com", "key") == 1
        assert await calls_this_month(conn, "unused.example.com", "ip") == 0
