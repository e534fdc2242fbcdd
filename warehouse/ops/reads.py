"""Reads of operations for the Data page: nightly checks, disk usage, deliveries of alerts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from coinwatch.records import Market
from warehouse.ops.retention import PartitionDay

MOST_CHECKS = 300
MOST_FAILURES = 100


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a market that was compared with the exchange's own candle of it."""

    market: Market
    day: date
    state: str
    """same, repaired, differs, or incomplete."""
    repaired: int
    """Corrected minutes."""
    detail: dict[str, Any]
    checked_at: datetime


class ChecksOfDay(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a day's checks, counted."""

    day: date
    same: int
    repaired: int
    differs: int
    incomplete: int
    minutes: int
    """Corrected minutes."""
    checked_at: datetime
    """The latest of them."""


class TableSize(msgspec.Struct, frozen=True, kw_only=True):
    """A table with its indexes and all its partitions."""

    name: str
    bytes: int
    partitions: int
    rows: int
    """As Postgres estimates them."""


class OutletRow(msgspec.Struct, frozen=True, kw_only=True):
    """An outlet and its deliveries of a week, without its address, which is a secret."""

    id: int
    client: str
    kind: str
    disabled_at: datetime | None
    disabled_why: str | None
    delivered: int
    waiting: int
    dead: int
    delivered_at: datetime | None


class FailedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is dead, or failed and waits for its next attempt."""

    event_id: int
    outlet_id: int
    client: str
    state: str
    message: str | None
    """Of the alert; None: past retention."""
    attempts: int
    attempted_at: datetime | None
    due_at: datetime
    http_status: int | None
    error: str | None


_CHECKS = text("""
select exchange || ':' || symbol as market, day, state, repaired, detail, checked_at
from candle_checks join markets on markets.id = market_id
where market_id = any(cast(:ids as int[])) and day >= :first and state <> 'same'
order by day desc, state, market limit :most""")

_DAYS_CHECKED = text("""
select day, count(*) filter (where state = 'same') as same,
    count(*) filter (where state = 'repaired') as repaired,
    count(*) filter (where state = 'differs') as differs,
    count(*) filter (where state = 'incomplete') as incomplete,
    sum(repaired) as minutes, max(checked_at) as checked_at
from candle_checks where market_id = any(cast(:ids as int[])) and day >= :first
group by day order by day desc""")

_SIZES = text("""
select coalesce(parent.relname, c.relname) as name, sum(pg_total_relation_size(c.oid))::bigint as bytes,
    count(parent.oid)::int as partitions, sum(greatest(c.reltuples, 0))::bigint as rows
from pg_class c
left join pg_inherits i on i.inhrelid = c.oid
left join pg_class parent on parent.oid = i.inhparent
where c.relkind = 'r' and pg_table_is_visible(c.oid) and c.relnamespace = 'public'::regnamespace
group by 1 order by 2 desc""")

_TICK_DAYS = text(r"""
select to_date(right(relname, 10), 'YYYY_MM_DD') as day, pg_total_relation_size(oid) as bytes
from pg_class
where relkind = 'r' and pg_table_is_visible(oid) and relname ~ '^ticks_\d{4}_\d{2}_\d{2}$'
order by relname""")

_WHOLE = text("select pg_database_size(current_database())")

# The size of another database is visible only with the right to connect to it.
_OTHER = text("""
select case when has_database_privilege(oid, 'connect') then pg_database_size(oid) end
from pg_database where datname = :name""")

_OUTLETS = text("""
select id, client, kind, disabled_at, disabled_why, coalesce(delivered, 0) as delivered,
    coalesce(waiting, 0) as waiting, coalesce(dead, 0) as dead, last.delivered_at
from outlets
left join (
    select outlet_id, count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'waiting') as waiting, count(*) filter (where state = 'dead') as dead,
        max(delivered_at) as delivered_at
    from deliveries where created_at >= :since group by outlet_id
) last on outlet_id = id
order by id""")

_FAILED = text("""
select d.event_id, outlet_id, o.client, state, message, attempts, attempted_at, due_at, http_status, error
from deliveries d
join outlets o on o.id = outlet_id
left join alert_events e on e.event_id = d.event_id
where d.created_at >= :since and (state = 'dead' or state = 'waiting' and error is not null)
order by d.event_id desc, outlet_id limit :most""")


def checks(conn: Connection, market_ids: Collection[int], first: date) -> tuple[CheckRow, ...]:
    """The days since ``first`` that were not the same at once, the newest first; at most ``MOST_CHECKS``."""
    rows = conn.execute(_CHECKS, {"ids": list(market_ids), "first": first, "most": MOST_CHECKS})
    return tuple(CheckRow(**{**row._mapping, "market": Market.canonical(row.market)}) for row in rows)


def days_checked(conn: Connection, market_ids: Collection[int], first: date) -> tuple[ChecksOfDay, ...]:
    """How the days since ``first`` compared, the newest first."""
    rows = conn.execute(_DAYS_CHECKED, {"ids": list(market_ids), "first": first})
    return tuple(ChecksOfDay(**row._mapping) for row in rows)


def table_sizes(conn: Connection) -> tuple[TableSize, ...]:
    """Every table of the warehouse, the largest first."""
    return tuple(TableSize(**row._mapping) for row in conn.execute(_SIZES))


def tick_days(conn: Connection) -> tuple[PartitionDay, ...]:
    """Every day that has a partition of trades, the oldest first."""
    return tuple(PartitionDay(row.day, row.bytes) for row in conn.execute(_TICK_DAYS))


def database_bytes(conn: Connection) -> int:
    """What the database of ``conn`` takes on disk."""
    return int(conn.execute(_WHOLE).scalar_one())


def other_database_bytes(conn: Connection, name: str) -> int | None:
    """The size of another database of the server; None when it does not exist or is not visible."""
    size: int | None = conn.execute(_OTHER, {"name": name}).scalar()
    return size


def outlets(conn: Connection, since: datetime) -> tuple[OutletRow, ...]:
    """Every outlet with the outcome of the deliveries queued since then."""
    return tuple(OutletRow(**row._mapping) for row in conn.execute(_OUTLETS, {"since": since}))


def failed_deliveries(conn: Connection, since: datetime) -> tuple[FailedDelivery, ...]:
    """Deliveries queued since then that did not arrive, the newest first; at most ``MOST_FAILURES``."""
    rows = conn.execute(_FAILED, {"since": since, "most": MOST_FAILURES})
    return tuple(FailedDelivery(**row._mapping) for row in rows)
