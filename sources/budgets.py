"""Request budgets: the contract, and the budget of a single process.

``warehouse.ops.budgets.WarehouseBudget`` is the budget shared by all processes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from coinwatch.errors import Retryable
from sources.exchanges.base import RateLimit

LONGEST_BLOCK_S = 60.0
"""``acquire`` waits for a block up to this long; for a longer one it raises Retryable."""


class Budget(Protocol):
    """Token buckets by host (the address of an API) and scope (what the API meters)."""

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        """Wait until ``cost`` can be spent, then spend it.

        Args:
            host: The API's address.
            scope: What the API meters, such as ``ip``.
            limit: The bucket's size and refill, and the calls allowed a month.
            cost: In the unit of the limit.
            reserve: The share of the bucket to leave to others: backfills leave a third to recovery.

        Raises:
            Retryable: The host blocks us for more than LONGEST_BLOCK_S, or the month's calls are spent.
        """

    async def block(self, host: str, scope: str, seconds: float) -> None:
        """Stop all requests to the host and scope for ``seconds``, as the host demanded."""


class Bucket:
    """A token bucket, full at first. All times are seconds of one clock, passed in."""

    def __init__(self, limit: RateLimit, now_s: float) -> None:
        self._tokens = limit.capacity
        self._refilled_s = now_s

    def spend(self, limit: RateLimit, cost: float, reserve: float, now_s: float) -> float:
        """Spend ``cost`` and return 0, or spend nothing and return the seconds to wait before retrying."""
        elapsed_s = max(0.0, now_s - self._refilled_s)
        self._tokens = min(limit.capacity, self._tokens + elapsed_s * limit.per_second)
        self._refilled_s = max(self._refilled_s, now_s)
        missing = needed(limit, cost, reserve) - self._tokens
        if missing > 1e-9:  # waiting for less than this would never end
            return missing / limit.per_second
        self._tokens -= cost
        return 0.0


def needed(limit: RateLimit, cost: float, reserve: float) -> float:
    """The tokens that must be in the bucket: ``cost`` plus the reserve, capped at the capacity.

    A request that costs more than the capacity therefore waits for a full bucket and overdraws it.
    """
    return min(cost + reserve * limit.capacity, limit.capacity)


class LocalBudget:
    """The budget of this process alone.

    When other processes share the hosts and Postgres is unavailable, pass a third of the limit.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        calendar: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._calendar = calendar
        self._calls: Counter[tuple[str, str, date]] = Counter()
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._blocked: dict[tuple[str, str], float] = {}

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        while True:
            now_s = self._clock()
            wait_s = self._blocked.get((host, scope), now_s) - now_s
            if wait_s > LONGEST_BLOCK_S:
                raise Retryable(host, f"has blocked us for another {wait_s:.0f} s", retry_after_s=wait_s)
            if wait_s <= 0:
                month = self._month_of_call(host, scope, limit)
                bucket = self._buckets.setdefault((host, scope), Bucket(limit, now_s))
                wait_s = bucket.spend(limit, cost, reserve, now_s)
                if wait_s <= 0:
                    self._calls[host, scope, month] += 1
                    return
            await asyncio.sleep(wait_s)

    async def block(self, host: str, scope: str, seconds: float) -> None:
        until_s = self._clock() + seconds
        self._blocked[host, scope] = max(until_s, self._blocked.get((host, scope), until_s))

    def _month_of_call(self, host: str, scope: str, limit: RateLimit) -> date:
        """The first day of this month. Raises Retryable when its calls are spent."""
        now = self._calendar()
        month = now.date().replace(day=1)
        if limit.per_month is not None and self._calls[host, scope, month] >= limit.per_month:
            following = (month + timedelta(days=31)).replace(day=1)
            wait_s = (datetime(following.year, following.month, 1, tzinfo=UTC) - now).total_seconds()
            raise month_spent(host, limit.per_month, wait_s)
        return month


def month_spent(host: str, per_month: int, wait_s: float) -> Retryable:
    """The error to raise when the month's calls are spent; the next month begins in ``wait_s`` seconds."""
    return Retryable(
        host,
        f"all {per_month:,} calls of this month are spent; "
        f"the next month begins in {wait_s / 86_400:.1f} days",
        retry_after_s=wait_s,
    )
