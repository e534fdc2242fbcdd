"""Retention: deletes ticks by age and size, and old averages, events and failures; vacuums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.records import Market
from coinwatch.times import day_start_us, from_datetime, to_datetime
from coinwatch.windows import Window
from warehouse.db.partitions import drop_average_day, drop_tick_day

TICK_BYTES = 200
"""Bytes of a trade on disk with its indexes, measured."""
FAR = 1.5
"""At this multiple of their size limit, ticks are dropped even where their candles are not verified: a full
disk loses more."""
AVERAGE_DAYS = 400
EVENT_DAYS = 90
"""For alert events with their deliveries, closed stream gaps and failed jobs."""
REJECT_DAYS = 30
SILENT_STREAM_DAYS = 30
SILENT_SERVICE_DAYS = 7
_BATCH = 10_000


class PartitionDay(msgspec.Struct, frozen=True):
    """The partition of one UTC day. ``bytes`` with its indexes."""

    day: date
    bytes: int


class TickDrops(msgspec.Struct, frozen=True):
    """The result of ``drop_ticks``; days are ordered, oldest first."""

    dropped: list[PartitionDay]
    lost: list[PartitionDay]
    """The dropped days whose candles were not verified."""
    kept: list[PartitionDay]
    """Over the limits, and kept because their candles are not verified."""
    unverified: Mapping[date, Mapping[Market, list[Window]]]
    """The missing ranges of ``lost`` and ``kept``, by market."""


_DAYS = """
select to_date(right(relname, 10), 'YYYY_MM_DD'), pg_total_relation_size(oid)
from pg_class
where relkind = 'r' and pg_table_is_visible(oid) and relname ~ ('^' || %s || '_\\d{4}_\\d{2}_\\d{2}$')
order by relname
"""

# Whether a market traded that day is one index probe, however many trades there are.
_UNVERIFIED = """
with traded as (
    select id, exchange || ':' || symbol as name,
           greatest(%(start)s, date_trunc('minute', listed_at)) as from_ts,
           least(%(end)s, date_trunc('minute', delisted_at) + interval '1 minute') as to_ts
    from markets
    where exists (select from ticks where ticks.market_id = markets.id and ticks.day = %(day)s)
)
select name, lower(hole), upper(hole)
from traded
left join candle_coverage as coverage on coverage.market_id = traded.id and coverage.interval = '1m'
cross join lateral unnest(
    case when from_ts < to_ts then tstzmultirange(tstzrange(from_ts, to_ts)) else '{}' end
    - coalesce(covered, '{}')
    - coalesce(unavailable, '{}')
) as hole
order by name, hole
"""


async def tick_days(conn: AsyncConnection[Any]) -> list[PartitionDay]:
    """Every day with a partition of ticks, oldest first, interrupted drops included."""
    return await _days(conn, "ticks")


async def _days(conn: AsyncConnection[Any], table: str) -> list[PartitionDay]:
    return [PartitionDay(*row) for row in await (await conn.execute(_DAYS, (table,))).fetchall()]


def overdue(days: Sequence[PartitionDay], today: date, keep_days: int, keep_bytes: int) -> list[PartitionDay]:
    """The oldest of ``days`` (ordered) that are beyond either limit. Never today."""
    total = sum(day.bytes for day in days)
    due = []
    for day in days:
        too_old = day.day < today - timedelta(days=keep_days)
        if day.day >= today or not (too_old or total > keep_bytes):
            break
        due.append(day)
        total -= day.bytes
    return due


async def unverified(conn: AsyncConnection[Any], day: date) -> dict[Market, list[Window]]:
    """The minutes of ``day``, by market that traded in it, neither covered by candles nor unavailable."""
    start_us = day_start_us(day)
    bounds = {"start": to_datetime(start_us), "end": to_datetime(day_start_us(day + timedelta(days=1)))}
    cursor = await conn.execute(_UNVERIFIED, {"day": day, **bounds})
    holes: dict[Market, list[Window]] = {}
    for name, start, end in await cursor.fetchall():
        holes.setdefault(Market.canonical(name), []).append(Window(from_datetime(start), from_datetime(end)))
    return holes


async def drop_ticks(conn: AsyncConnection[Any], today: date, keep_days: int, keep_bytes: int) -> TickDrops:
    """Drop the days of ticks beyond the limits, once their candles are verified.

    Unverified days are kept, unless all ticks exceed FAR times ``keep_bytes``: then the oldest are dropped
    too. ``conn`` must be in autocommit. Raises WarehouseError when a lock is not granted.
    """
    days = await tick_days(conn)
    total = sum(day.bytes for day in days)
    due = overdue(days, today, keep_days, keep_bytes)
    missing = {day.day: windows for day in due if (windows := await unverified(conn, day.day))}
    total -= sum(day.bytes for day in due if day.day not in missing)
    dropped, lost, kept = [], [], []
    for day in due:
        if day.day in missing:
            if total <= FAR * keep_bytes:
                kept.append(day)
                continue
            lost.append(day)
            total -= day.bytes
        await drop_tick_day(conn, day.day)
        dropped.append(day)
    return TickDrops(dropped, lost, kept, missing)


async def drop_averages(conn: AsyncConnection[Any], today: date) -> list[PartitionDay]:
    """Drop the days of averages older than AVERAGE_DAYS. As ``drop_ticks``."""
    first_kept = today - timedelta(days=AVERAGE_DAYS)
    old = [day for day in await _days(conn, "price_averages") if day.day < first_kept]
    for day in old:
        await drop_average_day(conn, day.day)
    return old


# The oldest by a key that grows with time, so that each batch begins where the last one ended.
_DELETE_EVENTS = """
delete from alert_events
where event_id in (select event_id from alert_events order by event_id limit %(batch)s)
  and created_at < %(before)s
"""

_DELETE_REJECTS = """
delete from rejects
where id in (select id from rejects where at < %(before)s order by at limit %(batch)s)
"""

# A closed row without an end marks a market that is not wanted now. Other rows are kept as long as the
# ticks around them, because they state what is missing there.
_DELETE_GAPS = """
delete from stream_gaps
where id in (
    select id from stream_gaps
    where state <> 'open' and closed_at < %(before)s and before_ts < least(%(before)s, %(first_tick)s)
    limit %(batch)s
)
"""

_DELETE_FAILURES = "delete from job_failures where recorded_at < %(before)s"
_DELETE_STREAMS = "delete from stream_health where updated_at < %(before)s"
_DELETE_SERVICES = "delete from service_heartbeats where beat_at < %(before)s"


async def delete_old_rows(conn: AsyncConnection[Any], now: datetime) -> dict[str, int]:
    """Delete old rows of tables without partitions; return how many, by table.

    In batches, each in a transaction of its own, so that others wait only briefly. ``conn`` must be in
    autocommit.
    """
    days = await tick_days(conn)
    first_tick = to_datetime(day_start_us(days[0].day)) if days else now
    old = {
        "alert_events": (_DELETE_EVENTS, EVENT_DAYS),
        "rejects": (_DELETE_REJECTS, REJECT_DAYS),
        "stream_gaps": (_DELETE_GAPS, EVENT_DAYS),
        "job_failures": (_DELETE_FAILURES, EVENT_DAYS),
        "stream_health": (_DELETE_STREAMS, SILENT_STREAM_DAYS),
        "service_heartbeats": (_DELETE_SERVICES, SILENT_SERVICE_DAYS),
    }
    deleted = {}
    for table, (statement, keep_days) in old.items():
        asked = {"before": now - timedelta(days=keep_days), "first_tick": first_tick, "batch": _BATCH}
        deleted[table] = 0
        while rows := (await conn.execute(statement, asked)).rowcount:
            deleted[table] += rows
    return deleted


ANALYZED = ("ticks", "candles", "price_averages")
"""Autovacuum analyzes partitions but never their parent tables, whose statistics plan every query over
several days."""
VACUUMED = (
    "alert_events",
    "rejects",
    "stream_gaps",
    "stream_health",
    "service_heartbeats",
    "candle_coverage",
)
"""Rows are deleted daily or, as in candle_coverage, grow with each update: autovacuum's threshold would leave
many dead rows."""


async def vacuum(
    conn: AsyncConnection[Any], vacuumed: Sequence[str] = VACUUMED, analyzed: Sequence[str] = ANALYZED
) -> None:
    """Vacuum ``vacuumed`` and analyze ``analyzed``; locked tables are skipped until the next run.

    ``conn`` must be in autocommit.
    """
    for table in vacuumed:
        await conn.execute(f"vacuum (analyze, skip_locked) {table}")
    for table in analyzed:
        await conn.execute(f"analyze (skip_locked) {table}")
