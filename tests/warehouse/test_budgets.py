"""One request limit for all processes, in Postgres."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
from sqlalchemy import URL

from coinwatch.errors import Retryable, WarehouseError
from sources.budgets import Budget
from sources.exchanges.base import RateLimit
from warehouse.budgets import WarehouseBudget
from warehouse.connect import connect

SLOW = RateLimit(capacity=6, per_second=0.001)


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
