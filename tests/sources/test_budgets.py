"""The request limit of one process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import Retryable
from sources.budgets import Bucket, LocalBudget
from sources.exchanges.base import RateLimit

LIMIT = RateLimit(capacity=15, per_second=10)


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 15), st.sampled_from([0, 1 / 3])), max_size=60)
)
def test_a_bucket_never_gives_more_than_its_limit(steps: list[tuple[float, float, float]]) -> None:
    bucket = Bucket(LIMIT, 0.0)
    now_s = 0.0
    spent: list[tuple[float, float]] = []
    for passed_s, cost, reserve in steps:
        now_s += passed_s
        if bucket.spend(LIMIT, cost, reserve, now_s) == 0:
            spent.append((now_s, cost))
    for index, (start_s, _) in enumerate(spent):
        for end in range(index, len(spent)):
            given_out = sum(cost for _, cost in spent[index : end + 1])
            assert given_out <= LIMIT.capacity + (spent[end][0] - start_s) * LIMIT.per_second + 1e-6


@given(cost=st.floats(0.1, 15), reserve=st.floats(0, 1), tokens=st.floats(0, 15))
def test_the_wait_a_bucket_names_is_enough(cost: float, reserve: float, tokens: float) -> None:
    bucket = Bucket(LIMIT, 0.0)
    bucket.spend(LIMIT, 15 - tokens, 0, 0.0)
    wait_s = bucket.spend(LIMIT, cost, reserve, 0.0)
    if wait_s > 0:
        assert bucket.spend(LIMIT, cost, reserve, wait_s) == 0


def test_the_last_third_is_left_to_those_without_reserve() -> None:
    bucket = Bucket(LIMIT, 0.0)
    backfills = sum(bucket.spend(LIMIT, 1, 1 / 3, 0.0) == 0 for _ in range(20))
    recovery = sum(bucket.spend(LIMIT, 1, 0, 0.0) == 0 for _ in range(20))
    assert (backfills, recovery) == (10, 5)


def test_a_request_above_the_capacity_overdraws_a_full_bucket() -> None:
    bucket = Bucket(LIMIT, 0.0)
    assert bucket.spend(LIMIT, 1, 0, 0.0) == 0
    assert bucket.spend(LIMIT, 20, 0, 0.0) == pytest.approx(0.1)
    assert bucket.spend(LIMIT, 20, 0, 0.1) == 0
    assert bucket.spend(LIMIT, 1, 0, 0.1) == pytest.approx(0.6)


async def test_hosts_and_scopes_have_budgets_of_their_own() -> None:
    budget = LocalBudget()
    slow = RateLimit(capacity=1, per_second=0.001)
    async with asyncio.timeout(5):
        for host, scope in (("a", "ip"), ("b", "ip"), ("a", "key")):
            await budget.acquire(host, scope, slow, 1)


async def test_a_block_holds_all_requests_and_a_long_one_raises() -> None:
    now_s = 100.0
    budget = LocalBudget(clock=lambda: now_s)
    await budget.block("host", "ip", 61)
    await budget.block("host", "ip", 1)  # does not shorten the first
    with pytest.raises(Retryable) as caught:
        await budget.acquire("host", "ip", LIMIT, 1)
    assert caught.value.retry_after_s == pytest.approx(61)
    now_s += 61
    await budget.acquire("host", "ip", LIMIT, 1)


async def test_many_tasks_together_keep_the_limit() -> None:
    budget = LocalBudget()
    limit = RateLimit(capacity=5, per_second=100)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(budget.acquire("host", "ip", limit, 1))
    assert loop.time() - start_s >= 0.24


async def test_no_call_over_the_month_is_let_through() -> None:
    now = datetime(2026, 2, 27, 12, tzinfo=UTC)
    budget = LocalBudget(calendar=lambda: now)
    limit = RateLimit(capacity=100, per_second=100, per_month=3)
    for _ in range(3):
        await budget.acquire("host", "ip", limit, 5)
    with pytest.raises(Retryable, match="all 3 calls of this month are spent") as caught:
        await budget.acquire("host", "ip", limit.scaled(1_000), 1)
    assert caught.value.retry_after_s == 36 * 3_600
    now += timedelta(hours=36)
    await budget.acquire("host", "ip", limit, 1)
