"""Leases: rows of ``leases`` that give a task to one of several daemons.

A lease expires by the clock of the database, so machines need not agree on the time. Each function takes
a connection in autocommit mode, and every statement locks its rows in the order of their names: two
daemons that want the same leases in another order would each wait for what the other holds.

A holder may rely on its lease for the time to live counted from before the request, not from the reply.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import sqlalchemy as sa
from psycopg import AsyncConnection

from warehouse.tables import leases


class LeaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of leases. ``expires_in_s`` is below 0 for an expired lease that was not taken over."""

    name: str
    holder: str
    expires_in_s: float


_HOLD = """
insert into leases as lease (name, holder, expires_at)
values (%(name)s, %(holder)s, clock_timestamp() + %(ttl_s)s * interval '1 second')
on conflict (name) do update
set holder = excluded.holder, expires_at = clock_timestamp() + %(ttl_s)s * interval '1 second'
where lease.holder = excluded.holder or lease.expires_at <= clock_timestamp()
returning true
"""

_RENEW = """
with mine as (
    select name from leases where holder = %(holder)s and name = any(%(names)s) order by name for update
)
update leases lease set expires_at = clock_timestamp() + %(ttl_s)s * interval '1 second'
from mine
where lease.name = mine.name and lease.holder = %(holder)s
returning lease.name
"""

_TAKE = """
with free as materialized (
    select wanted.name
    from unnest(%(names)s::text[]) as wanted (name)
    where not exists (
        select from leases where leases.name = wanted.name and leases.expires_at > clock_timestamp()
    )
    order by wanted.name
    limit %(limit)s
), taken as (
    insert into leases as lease (name, holder, expires_at)
    select name, %(holder)s, clock_timestamp() + %(ttl_s)s * interval '1 second' from free order by name
    on conflict (name) do update
    set holder = excluded.holder, expires_at = clock_timestamp() + %(ttl_s)s * interval '1 second'
    where lease.expires_at <= clock_timestamp()
    returning name
)
select (select count(*) from free), array(select name from taken)
"""

_RELEASE = """
with mine as (
    select name from leases
    where holder = %(holder)s and (%(names)s::text[] is null or name = any(%(names)s))
    order by name
    for update
)
delete from leases using mine where leases.name = mine.name and leases.holder = %(holder)s
"""

_SILENT = """
select distinct holder from leases
where not exists (
    select from service_heartbeats
    where service = %s and instance = holder and beat_at > clock_timestamp() - %s * interval '1 second'
)
"""


async def hold(conn: AsyncConnection, name: str, holder: str, ttl_s: float) -> bool:
    """Take or renew one lease for ``ttl_s`` seconds. False while another holds it."""
    cursor = await conn.execute(_HOLD, {"name": name, "holder": holder, "ttl_s": ttl_s})
    return await cursor.fetchone() is not None


async def renew(conn: AsyncConnection, holder: str, names: Collection[str], ttl_s: float) -> set[str]:
    """Renew those of ``names`` that ``holder`` still has, and return them; the others are lost.

    An expired lease still belongs to its holder until another takes it.
    """
    wanted = {"holder": holder, "names": list(names), "ttl_s": ttl_s}
    return {name for (name,) in await (await conn.execute(_RENEW, wanted)).fetchall()}


async def take(
    conn: AsyncConnection, holder: str, names: Collection[str], ttl_s: float, limit: int
) -> set[str]:
    """Take up to ``limit`` free leases of ``names``, in the order of names; return those taken.

    Fewer only when no more are free.
    """
    wanted = {"holder": holder, "names": sorted(set(names)), "ttl_s": ttl_s}
    taken: set[str] = set()
    while len(taken) < limit:
        cursor = await conn.execute(_TAKE, {**wanted, "limit": limit - len(taken)})
        [(free, won)] = await cursor.fetchall()
        taken.update(won)
        if len(won) == free:
            break
        # Another process took some of these first: others may still be free.
    return taken


async def release(conn: AsyncConnection, holder: str, names: Collection[str] | None = None) -> None:
    """Release those of ``names`` that ``holder`` has, or all of them. Leases of others stay."""
    await conn.execute(_RELEASE, {"holder": holder, "names": None if names is None else list(names)})


async def silent_holders(conn: AsyncConnection, service: str, within_s: float) -> set[str]:
    """The holders without a heartbeat as an instance of ``service`` in the last ``within_s`` seconds."""
    cursor = await conn.execute(_SILENT, (service, within_s))
    return {holder for (holder,) in await cursor.fetchall()}


def read_leases(conn: sa.Connection) -> list[LeaseRow]:
    """Every lease that was taken and not released, by name."""
    left_s = sa.cast(sa.extract("epoch", leases.c.expires_at - sa.func.now()), sa.Double)
    query = sa.select(leases.c.name, leases.c.holder, left_s.label("expires_in_s")).order_by(leases.c.name)
    return [LeaseRow(**row._mapping) for row in conn.execute(query)]
