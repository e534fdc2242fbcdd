"""One request limit for all processes: a row of ``api_budgets`` for each host and scope.

The clock is the database's, so machines need not agree on the time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Protocol

import psycopg

from coinwatch.errors import Retryable, WarehouseError

LONGEST_BLOCK_S = 60.0
"""``acquire`` sits out a block up to this long; of a longer one it tells its caller."""

# ``excluded.refilled_at`` is this statement's now. It can be older than the row's when another
# process spent meanwhile: then nothing has been refilled since, and time never runs back.
_SPEND = """
insert into api_budgets as budget (host, scope, tokens, refilled_at, month, calls_this_month)
select %(host)s, %(scope)s, %(capacity)s::float8 - %(cost)s::float8, now,
       date_trunc('month', now at time zone 'UTC')::date, 1
from clock_timestamp() as now
on conflict (host, scope) do update set
    tokens = least(
        %(capacity)s::float8,
        budget.tokens + %(per_second)s::float8
            * greatest(0, extract(epoch from excluded.refilled_at - budget.refilled_at)::float8)
    ) - %(cost)s::float8,
    refilled_at = greatest(budget.refilled_at, excluded.refilled_at),
    month = greatest(budget.month, excluded.month),
    calls_this_month = case when budget.month < excluded.month then 0 else budget.calls_this_month end + 1
where coalesce(budget.blocked_until <= excluded.refilled_at, true)
  and least(
        %(capacity)s::float8,
        budget.tokens + %(per_second)s::float8
            * greatest(0, extract(epoch from excluded.refilled_at - budget.refilled_at)::float8)
      ) >= %(needed)s::float8
returning true
"""

_WAIT = """
select greatest(0, extract(epoch from blocked_until - clock_timestamp())::float8),
       (%(needed)s::float8 - tokens) / %(per_second)s::float8
           - extract(epoch from clock_timestamp() - refilled_at)::float8
from api_budgets
where host = %(host)s and scope = %(scope)s
"""

_BLOCK = """
insert into api_budgets as budget (host, scope, tokens, blocked_until)
values (%(host)s, %(scope)s, 0, clock_timestamp() + %(seconds)s * interval '1 second')
on conflict (host, scope) do update
set blocked_until = greatest(budget.blocked_until, excluded.blocked_until)
"""


class Limit(Protocol):
    """A bucket that holds ``capacity`` and refills by ``per_second``."""

    @property
    def capacity(self) -> float: ...
    @property
    def per_second(self) -> float: ...


class WarehouseBudget:
    """Token buckets in Postgres, over an autocommit connection that tasks may share."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._conn = conn
        # Of the tasks that wait for the same bucket only the first asks Postgres, the others queue.
        self._turns: defaultdict[tuple[str, str, float], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def acquire(self, host: str, scope: str, limit: Limit, cost: float, reserve: float = 0.0) -> None:
        """Wait until ``cost`` can be spent, and spend it.

        ``reserve`` is the share of the bucket left to others: backfills leave the last third to
        recovery. Raises Retryable when the host has blocked us for more than LONGEST_BLOCK_S,
        WarehouseError when Postgres fails.
        """
        asked = {
            "host": host,
            "scope": scope,
            "capacity": limit.capacity,
            "per_second": limit.per_second,
            "cost": cost,
            # Never more than full: a dearer request waits for a full bucket and leaves it in debt.
            "needed": min(cost + reserve * limit.capacity, limit.capacity),
        }
        async with self._turns[host, scope, reserve]:
            while not await self._row(_SPEND, asked):
                wait_s = await self._wait_s(asked)
                await asyncio.sleep(wait_s)

    async def block(self, host: str, scope: str, seconds: float) -> None:
        """Let no process ask for ``seconds``, because the host said so. Raises WarehouseError."""
        await self._row(_BLOCK, {"host": host, "scope": scope, "seconds": seconds})

    async def _wait_s(self, asked: dict[str, Any]) -> float:
        """After how many seconds to ask again."""
        waits = await self._row(_WAIT, asked)
        if waits is None:
            return 0.0  # the row was deleted in between: the next try makes it anew
        blocked_s, refilled_s = float(waits[0] or 0.0), float(waits[1])
        if blocked_s > LONGEST_BLOCK_S:
            raise Retryable(
                asked["host"], f"has blocked us for another {blocked_s:.0f} s", retry_after_s=blocked_s
            )
        return max(blocked_s, refilled_s, 0.001)

    async def _row(self, query: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        try:
            cursor = await self._conn.execute(query, values)
            return await cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            raise WarehouseError(f"request budgets: {error}") from error
