"""Outlets (webhooks, mail, …) and the deliveries of alert events to them.

The first endpoint to notice new events queues their deliveries, under a lock on the cursor row. An
endpoint takes an attempt by moving its due time ahead; if the endpoint dies, any other endpoint retries
at that time.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec
from psycopg import AsyncConnection

from coinwatch.alerts import Alert
from warehouse.alerts.rules import events_by_id
from warehouse.ops.retention import EVENT_DAYS

QUEUED_AT_ONCE = 5_000
"""Events queued by one statement."""
RESEND_AT_ONCE = 10_000


class Kind(StrEnum):
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class State(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; kept for resending."""


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """Where the events of a named client are delivered. Never log its URL and secrets."""

    id: int
    client: str
    kind: Kind
    url: str
    secrets: tuple[str, ...]
    """Secrets that sign webhooks: the current secret, then the previous secret while it is valid."""
    disabled_at: datetime | None = None
    disabled_why: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery taken for an attempt now."""

    outlet: Outlet
    alert: Alert
    number: int
    """1 for the first attempt."""


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of deliveries as read."""

    event_id: int
    outlet_id: int
    state: State
    attempts: int
    due_at: datetime
    attempted_at: datetime | None
    delivered_at: datetime | None
    http_status: int | None
    error: str | None


_OUTLET_COLUMNS = """
    id, client, kind, url,
    array_remove(array[secret, case when previous_until > now() then previous_secret end], null),
    disabled_at, disabled_why
"""

_ADD = """
insert into outlets (client, kind, url, secret, after_event_id)
select %(client)s, %(kind)s, %(url)s, %(secret)s, coalesce(max(last_event_id), 0) from alert_counter
returning id
"""

_LIST = f"select {_OUTLET_COLUMNS} from outlets order by id"  # noqa: S608 -- built from constants
_REMOVE = "delete from outlets where id = %s returning id"

_ROTATE = """
update outlets
set previous_secret = secret, previous_until = now() + %s * interval '1 hour', secret = %s
where id = %s and kind = 'webhook'
returning id
"""

# Events fired while it was disabled are not delivered.
_ENABLE = """
update outlets
set disabled_at = null, disabled_why = null,
    after_event_id = (select coalesce(max(last_event_id), 0) from alert_counter)
where id = %s
returning id
"""

_DISABLE = """
with disabled as (
    update outlets set disabled_at = coalesce(disabled_at, now()), disabled_why = %(why)s
    where id = %(outlet_id)s
    returning id
)
update deliveries set state = 'dead', error = 'the outlet was disabled'
from disabled
where outlet_id = disabled.id and state = 'waiting'
"""

# Events are numbered in commit order, so every event below the newest is visible.
_QUEUE = f"""
with span as (
    select cursor.event_id as above, least(cursor.event_id + {QUEUED_AT_ONCE}, newest.event_id) as through
    from delivery_cursor cursor,
         (select coalesce(max(last_event_id), 0) as event_id from alert_counter) newest
    where cursor.event_id < newest.event_id
    for update of cursor
), queued as (
    insert into deliveries (event_id, outlet_id)
    select event.event_id, outlet.id
    from span
    join alert_events event on event.event_id > span.above and event.event_id <= span.through
    join outlets outlet on outlet.client = event.client and outlet.after_event_id < event.event_id
        and outlet.disabled_at is null
    on conflict do nothing
), moved as (
    update delivery_cursor set event_id = span.through from span returning 1
)
select through - above from span
"""  # noqa: S608 -- built from constants

_TAKE = f"""
with taken as (
    update deliveries
    set due_at = clock_timestamp() + %(lease_s)s * interval '1 second',
        attempts = attempts + 1, attempted_at = clock_timestamp()
    from (
        select delivery.event_id, delivery.outlet_id
        from outlets outlet
        cross join lateral (
            select event_id, outlet_id from deliveries
            where outlet_id = outlet.id and state = 'waiting' and due_at <= clock_timestamp()
            order by due_at, event_id
            limit %(of_one)s
        ) due
        join deliveries delivery on delivery.event_id = due.event_id and delivery.outlet_id = due.outlet_id
        where outlet.disabled_at is null and outlet.id <> all(%(busy)s)
            and delivery.state = 'waiting' and delivery.due_at <= clock_timestamp()
        order by delivery.due_at, delivery.event_id
        limit %(most)s
        for update of delivery skip locked
    ) due
    where deliveries.event_id = due.event_id and deliveries.outlet_id = due.outlet_id
    returning deliveries.event_id, deliveries.outlet_id, deliveries.attempts
)
select taken.event_id, taken.attempts, {_OUTLET_COLUMNS}
from taken join outlets on id = taken.outlet_id
order by taken.event_id
"""  # noqa: S608 -- built from constants

_FINISH = """
update deliveries
set state = %(state)s, http_status = %(http_status)s, error = %(error)s,
    delivered_at = case when %(state)s = 'delivered' then clock_timestamp() end,
    due_at = clock_timestamp() + %(wait_s)s * interval '1 second'
where event_id = %(event_id)s and outlet_id = %(outlet_id)s and attempts = %(number)s and state = 'waiting'
"""

_RECENT = """
select event_id, outlet_id, state, attempts, due_at, attempted_at, delivered_at, http_status, error
from deliveries
where (%(outlet_id)s::bigint is null or outlet_id = %(outlet_id)s)
  and (%(state)s::text is null or state = %(state)s)
order by event_id desc, outlet_id
limit %(limit)s
"""

_RESEND = f"""
update deliveries set state = 'waiting', due_at = now(), attempts = 0, delivered_at = null
from (
    select event_id, outlet_id from deliveries
    where outlet_id = %(outlet_id)s
      and (event_id = %(event_id)s or (%(event_id)s::bigint is null and state = 'dead'))
    order by event_id
    limit {RESEND_AT_ONCE}
) asked
where deliveries.event_id = asked.event_id and deliveries.outlet_id = asked.outlet_id
"""  # noqa: S608 -- built from constants

_FORGET = f"""
delete from deliveries where created_at < now() - interval '{EVENT_DAYS} days'
"""  # noqa: S608 -- built from constants


async def add_outlet(conn: AsyncConnection, *, client: str, kind: Kind, url: str, secret: str | None) -> int:
    """Deliver future events of ``client`` to ``url``; return the id of the outlet."""
    asked = {"client": client, "kind": kind, "url": url, "secret": secret}
    [(outlet_id,)] = await (await conn.execute(_ADD, asked)).fetchall()
    return int(outlet_id)


async def outlets(conn: AsyncConnection) -> list[Outlet]:
    """All outlets, by id."""
    return [_outlet(*row) for row in await (await conn.execute(_LIST)).fetchall()]


async def remove_outlet(conn: AsyncConnection, outlet_id: int) -> bool:
    """Remove an outlet with all its deliveries. False when there is none."""
    return await (await conn.execute(_REMOVE, (outlet_id,))).fetchone() is not None


async def rotate_secret(conn: AsyncConnection, outlet_id: int, secret: str, both_for_h: float) -> bool:
    """Sign with ``secret``, and for ``both_for_h`` hours also with the one before; False: no such webhook."""
    cursor = await conn.execute(_ROTATE, (both_for_h, secret, outlet_id))
    return await cursor.fetchone() is not None


async def enable_outlet(conn: AsyncConnection, outlet_id: int) -> bool:
    """Deliver future events again. False when there is no such outlet."""
    return await (await conn.execute(_ENABLE, (outlet_id,))).fetchone() is not None


async def disable_outlet(conn: AsyncConnection, outlet_id: int, why: str) -> None:
    """Stop delivering; waiting deliveries become dead."""
    await conn.execute(_DISABLE, {"outlet_id": outlet_id, "why": why})


async def queue_deliveries(conn: AsyncConnection) -> None:
    """Queue the events since the last call, by any endpoint, for the outlets of their clients."""
    while True:
        row = await (await conn.execute(_QUEUE)).fetchone()
        if row is None or row[0] < QUEUED_AT_ONCE:
            return


async def take_attempts(
    conn: AsyncConnection, *, most: int, of_one: int, busy: Collection[int], lease_s: float
) -> list[Attempt]:
    """Take up to ``most`` deliveries that are due, ``of_one`` of an outlet, none of the ``busy`` ones.

    Each is due again after ``lease_s`` seconds unless ``finish`` records its outcome.
    """
    asked = {"most": most, "of_one": of_one, "busy": list(busy), "lease_s": lease_s}
    rows = await (await conn.execute(_TAKE, asked)).fetchall()
    alerts = await events_by_id(conn, {row[0] for row in rows})
    return [
        Attempt(outlet=_outlet(*outlet), alert=alerts[event_id], number=number)
        for event_id, number, *outlet in rows
        if event_id in alerts
    ]


async def finish(
    conn: AsyncConnection,
    attempt: Attempt,
    state: State,
    *,
    http_status: int | None = None,
    error: str | None = None,
    wait_s: float = 0.0,
) -> None:
    """Record the outcome of ``attempt``; while ``state`` is waiting, the next is due after ``wait_s``."""
    await conn.execute(
        _FINISH,
        {
            "event_id": attempt.alert.event_id,
            "outlet_id": attempt.outlet.id,
            "number": attempt.number,
            "state": state,
            "http_status": http_status,
            "error": error,
            "wait_s": wait_s,
        },
    )


async def recent_deliveries(
    conn: AsyncConnection, *, outlet_id: int | None = None, state: State | None = None, limit: int = 50
) -> list[DeliveryRow]:
    """The last deliveries, the newest event first."""
    asked = {"outlet_id": outlet_id, "state": state, "limit": limit}
    return [
        DeliveryRow(
            event_id=event_id,
            outlet_id=outlet,
            state=State(stored),
            attempts=attempts,
            due_at=due_at,
            attempted_at=attempted_at,
            delivered_at=delivered_at,
            http_status=http_status,
            error=error,
        )
        for event_id, outlet, stored, attempts, due_at, attempted_at, delivered_at, http_status, error in (
            await (await conn.execute(_RECENT, asked)).fetchall()
        )
    ]


async def resend(conn: AsyncConnection, outlet_id: int, event_id: int | None = None) -> int:
    """Queue one event again, or all dead deliveries; return how many were queued."""
    return (await conn.execute(_RESEND, {"outlet_id": outlet_id, "event_id": event_id})).rowcount


async def forget_old_deliveries(conn: AsyncConnection) -> int:
    """Delete the deliveries of events past retention; return how many."""
    return (await conn.execute(_FORGET)).rowcount


def shown_url(url: str) -> str:
    """The URL of an outlet with its secret parts hidden."""
    parts = urlsplit(url)
    host = parts.hostname if parts.scheme in ("http", "https") else None
    return f"{parts.scheme}://{host or ''}/…" if host else f"{parts.scheme}://…"


def _outlet(outlet_id: int, client: str, kind: str, url: str, secrets: list[str], *disabled: Any) -> Outlet:
    disabled_at, disabled_why = disabled
    return Outlet(
        id=outlet_id,
        client=client,
        kind=Kind(kind),
        url=url,
        secrets=tuple(secrets),
        disabled_at=disabled_at,
        disabled_why=disabled_why,
    )
