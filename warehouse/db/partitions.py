"""Partitions of the big tables: a UTC day of ticks and of averages, a UTC month of candles and indicators.

A partition is created apart and attached, never by PARTITION OF: attaching blocks only other changes of the
table definition, so it neither waits for running reads nor delays inserts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

import psycopg
from psycopg import sql

from coinwatch.errors import WarehouseUnavailable

LOCK_TIMEOUT_MS = 200
"""How long one attempt waits for a lock, because others queue behind it."""
TRIES_FOR_S = 30.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class _Partition:
    parent: str
    first: date
    end: date
    checked: bool
    """Whether it gets a CHECK on ts, which lets a range of ts prune the partition."""

    @property
    def name(self) -> str:
        by_day = self.end - self.first == timedelta(days=1)
        return f"{self.parent}_{self.first:%Y_%m_%d}" if by_day else f"{self.parent}_{self.first:%Y_%m}"


def _tick_day(day: date) -> _Partition:
    return _Partition("ticks", day, day + timedelta(days=1), checked=True)


def _candle_month(month: date) -> _Partition:
    first = month.replace(day=1)
    return _Partition("candles", first, (first + timedelta(days=31)).replace(day=1), checked=False)


def _indicator_month(month: date) -> _Partition:
    return replace(_candle_month(month), parent="indicators")


def _average_day(day: date) -> _Partition:
    return _Partition("price_averages", day, day + timedelta(days=1), checked=False)


async def ensure_tick_days(conn: psycopg.AsyncConnection, days: Collection[date]) -> None:
    """Create the missing partitions of ``ticks`` for UTC ``days``.

    ``conn`` must be in autocommit. Safe from several processes at once.
    Raises WarehouseUnavailable when a lock is not granted within 30 s.
    """
    await _ensure(conn, [_tick_day(day) for day in days])


async def ensure_candle_months(conn: psycopg.AsyncConnection, months: Collection[date]) -> None:
    """Create the partitions of ``candles`` for the UTC months that the given dates fall in.

    As ``ensure_tick_days``.
    """
    await _ensure(conn, [_candle_month(month) for month in months])


async def ensure_indicator_months(conn: psycopg.AsyncConnection, months: Collection[date]) -> None:
    """Create the partitions of ``indicators`` for UTC months. As ``ensure_candle_months``."""
    await _ensure(conn, [_indicator_month(month) for month in months])


async def ensure_average_days(conn: psycopg.AsyncConnection, days: Collection[date]) -> None:
    """Create the partitions of ``price_averages`` for UTC ``days``. As ``ensure_tick_days``."""
    await _ensure(conn, [_average_day(day) for day in days])


async def absent(conn: psycopg.AsyncConnection, day: date) -> list[str]:
    """The names of the missing partitions for rows of UTC ``day``."""
    needed = [_tick_day(day), _average_day(day), _candle_month(day)]
    attached = await _attached(conn, needed)
    return [partition.name for partition in needed if attached.get(partition.name) is not False]


async def drop_tick_day(conn: psycopg.AsyncConnection, day: date) -> None:
    """Delete the trades of UTC ``day`` without blocking reads or inserts; no-op when there are none.

    Waits for transactions that may read the day. ``conn`` must be in autocommit. The next call finishes an
    interrupted one. Raises WarehouseUnavailable when a lock is not granted.
    """
    await _drop(conn, _tick_day(day))


async def drop_average_day(conn: psycopg.AsyncConnection, day: date) -> None:
    """Delete the averages of UTC ``day``. As ``drop_tick_day``."""
    await _drop(conn, _average_day(day))


async def _drop(conn: psycopg.AsyncConnection, partition: _Partition) -> None:
    pending = (await _attached(conn, [partition])).get(partition.name)
    if pending is not None:
        await _execute(conn, _FINISH_DETACH if pending else _DETACH, partition)

    async def drop() -> None:
        async with conn.transaction():
            await _limit_wait(conn)
            await _execute(conn, _DROP, partition)

    await _retrying(partition, drop)


async def _ensure(conn: psycopg.AsyncConnection, wanted: Collection[_Partition]) -> None:
    attached = await _attached(conn, wanted)
    for partition in sorted(set(wanted), key=lambda partition: partition.first):
        if attached.get(partition.name) is not False:
            await _retrying(partition, partial(_attach, conn, partition))


async def _attached(conn: psycopg.AsyncConnection, wanted: Collection[_Partition]) -> dict[str, bool]:
    """The partitions that are attached, by name; True where a detach of them was interrupted."""
    cursor = await conn.execute(_ATTACHED, [[partition.name for partition in wanted]])
    return dict(await cursor.fetchall())


async def _attach(conn: psycopg.AsyncConnection, partition: _Partition) -> None:
    async with conn.transaction():
        await _limit_wait(conn)
        # One process at a time for each table; the next finds the partition attached.
        await conn.execute(
            "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"partitions of {partition.parent}"]
        )
        pending = (await _attached(conn, [partition])).get(partition.name)
        if pending is False:
            return
        # A partition belongs to the owner of its table, not to the role that adds it.
        await conn.execute(_AS_OWNER, [partition.parent])
        if pending:
            await _execute(conn, _FINISH_DETACH, partition)
        # It may exist, detached by an interrupted drop: then it is attached again.
        await _execute(conn, _CREATE_CHECKED if partition.checked else _CREATE, partition)
        await _execute(conn, _ATTACH, partition)
        await conn.execute("SELECT set_config('role', 'none', true)")


async def _limit_wait(conn: psycopg.AsyncConnection) -> None:
    await conn.execute("SELECT set_config('lock_timeout', %s, true)", [str(LOCK_TIMEOUT_MS)])


async def _execute(conn: psycopg.AsyncConnection, statement: str, partition: _Partition) -> None:
    await conn.execute(
        sql.SQL(statement).format(
            parent=sql.Identifier(partition.parent),
            name=sql.Identifier(partition.name),
            first=sql.Literal(partition.first.isoformat()),
            end=sql.Literal(partition.end.isoformat()),
            first_ts=sql.Literal(f"{partition.first}T00:00:00Z"),
            end_ts=sql.Literal(f"{partition.end}T00:00:00Z"),
        )
    )


async def _retrying(partition: _Partition, change: Callable[[], Awaitable[None]]) -> None:
    deadline = time.monotonic() + TRIES_FOR_S
    while True:
        try:
            return await change()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() > deadline:
                raise WarehouseUnavailable(
                    f"partition {partition.name}: another transaction has held a lock {TRIES_FOR_S:.0f} s "
                    f"({' '.join(str(error).split())}); find it in pg_stat_activity"
                ) from error
        await asyncio.sleep(_PAUSE_S)


_ATTACHED = """
SELECT child.relname, inhdetachpending
FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE child.relkind = 'r' AND pg_table_is_visible(child.oid) AND child.relname = ANY (%s)
"""

_AS_OWNER = """
SELECT set_config('role', pg_get_userbyid(relowner), true) FROM pg_class WHERE oid = %s::regclass
"""

_CREATE = "CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)"

# The bounds imply the same for day, but only a constraint remains after a detach, and lets a partition be
# attached again without a scan.
_CREATE_CHECKED = """
CREATE TABLE IF NOT EXISTS {name} (
    LIKE {parent} INCLUDING ALL,
    CHECK (day = {first}::date AND ts >= {first_ts}::timestamptz AND ts < {end_ts}::timestamptz)
)
"""

_ATTACH = "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})"
_DETACH = "ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY"
_FINISH_DETACH = "ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE"
_DROP = "DROP TABLE IF EXISTS {name}"
