"""One request limit for all processes: a row of ``api_budgets`` for each host and scope.

The clock is the database's, so machines need not agree on the time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, NamedTuple, Protocol

import psycopg
import sqlalchemy

from coinwatch.errors import Retryable, WarehouseError

LONGEST_BLOCK_S = 60.0
"""``acquire`` waits out a block up to this long, and raises for a longer block."""

# ``excluded.refilled_at`` is this statement's now. It can be older than the row's when another
# process spent meanwhile: then nothing was refilled since, and time never runs backwards.
_SPEND = """
insert into api_budgets as budget
    (host, scope, tokens, refilled_at, month, calls_this_month, calls_per_month)
select %(host)s, %(scope)s, %(capacity)s::float8 - %(cost)s::float8, now,
       date_trunc('month', now at time zone 'UTC')::date, 1, %(per_month)s::int
from clock_timestamp() as now
on conflict (host, scope) do update set
    tokens = least(
        %(capacity)s::float8,
        budget.tokens + %(per_second)s::float8
            * greatest(0, extract(epoch from excluded.refilled_at - budget.refilled_at)::float8)
    ) - %(cost)s::float8,
    refilled_at = greatest(budget.refilled_at, excluded.refilled_at),
    month = greatest(budget.month, excluded.month),
    calls_this_month = case when budget.month < excluded.month then 0 else budget.calls_this_month end + 1,
    calls_per_month = excluded.calls_per_month
where coalesce(budget.blocked_until <= excluded.refilled_at, true)
  and least(
        %(capacity)s::float8,
        budget.tokens + %(per_second)s::float8
            * greatest(0, extract(epoch from excluded.refilled_at - budget.refilled_at)::float8)
      ) >= %(needed)s::float8
  and coalesce(
        case when budget.month < excluded.month then 0 else budget.calls_this_month end
            < excluded.calls_per_month,
        true
      )
returning true
"""

_WAIT = """
select greatest(0, extract(epoch from blocked_until - clock_timestamp())::float8),
       (%(needed)s::float8 - tokens) / %(per_second)s::float8
           - extract(epoch from clock_timestamp() - refilled_at)::float8,
       case when calls_this_month >= %(per_month)s::int
            then extract(
                epoch from (month + interval '1 month') at time zone 'UTC' - clock_timestamp()
            )::float8
       end
from api_budgets
where host = %(host)s and scope = %(scope)s
"""

_BLOCK = """
insert into api_budgets as budget (host, scope, tokens, blocked_until)
values (%(host)s, %(scope)s, 0, clock_timestamp() + %(seconds)s * interval '1 second')
on conflict (host, scope) do update
set blocked_until = greatest(budget.blocked_until, excluded.blocked_until)
"""


_THIS_MONTH = (
    "case when month >= date_trunc('month', now() at time zone 'UTC') then calls_this_month else 0 end"
)
_CALLS = f"select {_THIS_MONTH} from api_budgets where host = %s and scope = %s"  # noqa: S608
_MONTHS = f"""
select host, scope, {_THIS_MONTH}, calls_per_month
from api_budgets where calls_per_month is not null order by host, scope
"""  # noqa: S608 -- of constants


class Limit(Protocol):
    """A bucket that holds ``capacity`` and refills by ``per_second``, and calls allowed ``per_month``."""

    @property
    def capacity(self) -> float: ...
    @property
    def per_second(self) -> float: ...
    @property
    def per_month(self) -> int | None: ...


class MonthOfCalls(NamedTuple):
    """The use of a monthly limit."""

    host: str
    scope: str
    calls: int
    allowed: int

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.calls)


def months_of_calls(conn: sqlalchemy.Connection) -> tuple[MonthOfCalls, ...]:
    """Every monthly limit and its use, by host."""
    rows = conn.execute(sqlalchemy.text(_MONTHS))
    return tuple(MonthOfCalls(*row) for row in rows)


async def calls_this_month(conn: psycopg.AsyncConnection[Any], host: str, scope: str) -> int:
    """The calls made to ``host`` in this month (UTC)."""
    row = await (await conn.execute(_CALLS, (host, scope))).fetchone()
    return row[0] if row else 0


class WarehouseBudget:
    """Token buckets in Postgres, over an autocommit connection that tasks may share."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._conn = conn
        # Of several tasks waiting for a bucket, one asks Postgres at a time.
        self._turns: defaultdict[tuple[str, str, float], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def acquire(self, host: str, scope: str, limit: Limit, cost: float, reserve: float = 0.0) -> None:
        """Wait until ``cost`` can be spent, and spend it.

        ``reserve`` is the share of the bucket left to others: backfills leave the last third to
        recovery. Raises Retryable when the host has blocked us for more than LONGEST_BLOCK_S or the
        calls of this month are spent, WarehouseError when Postgres fails.
        """
        asked = {
            "host": host,
            "scope": scope,
            "capacity": limit.capacity,
            "per_second": limit.per_second,
            "cost": cost,
            # At most a full bucket: a more expensive request waits for that and leaves it in debt.
            "per_month": limit.per_month,
            "needed": min(cost + reserve * limit.capacity, limit.capacity),
        }
        async with self._turns[host, scope, reserve]:
            while not await self._row(_SPEND, asked):
                wait_s = await self._wait_s(asked)
                await asyncio.sleep(wait_s)

    async def block(self, host: str, scope: str, seconds: float) -> None:
        """Stop all requests of all processes to the host for ``seconds``. Raises WarehouseError."""
        await self._row(_BLOCK, {"host": host, "scope": scope, "seconds": seconds})

    async def _wait_s(self, asked: dict[str, Any]) -> float:
        """Seconds until the next attempt."""
        waits = await self._row(_WAIT, asked)
        if waits is None:
            return 0.0  # the row was deleted in between: the next attempt inserts it
        blocked_s, refilled_s = float(waits[0] or 0.0), float(waits[1])
        if waits[2] is not None and waits[2] > 0:
            raise Retryable(
                asked["host"],
                f"all {asked['per_month']:,} calls of this month are spent; the next month begins in "
                f"{waits[2] / 86_400:.1f} days",
                retry_after_s=float(waits[2]),
            )
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
