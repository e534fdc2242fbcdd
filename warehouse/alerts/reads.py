"""What a page shows of alerts besides the rules: events, where they were delivered, and how that went."""
# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from warehouse.alerts.deliveries import Kind, State, shown_url

MOST_DELIVERIES = 1_000


class OutletRow(msgspec.Struct, frozen=True, kw_only=True):
    """An outlet of a client, and what has become of its deliveries."""

    id: int
    kind: Kind
    to: str
    """Its URL without what only its owner should know."""
    disabled_why: str | None
    """None while it is delivered to."""
    delivered: int
    waiting: int
    dead: int
    last_at: datetime | None
    """When something was delivered last."""
    last_error: str | None
    """Of the last attempt that failed and was not made good."""


class EventDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """How an event went to one outlet."""

    event_id: int
    outlet_id: int
    kind: Kind
    state: State
    attempts: int
    attempted_at: datetime | None
    http_status: int | None
    error: str | None


_OUTLETS = """
select o.id, o.kind, o.url, case when o.disabled_at is not null then coalesce(o.disabled_why, '') end,
       coalesce(d.delivered, 0), coalesce(d.waiting, 0), coalesce(d.dead, 0), d.last_at, d.last_error
from outlets o
cross join lateral (
    select count(*) filter (where state = 'delivered') as delivered,
           count(*) filter (where state = 'waiting') as waiting,
           count(*) filter (where state = 'dead') as dead,
           max(delivered_at) as last_at,
           (array_agg(error order by event_id desc)
               filter (where state <> 'delivered' and error is not null))[1] as last_error
    from (
        select * from deliveries where outlet_id = o.id and event_id > %(above)s
    ) lately
) d
where o.client = %(client)s
order by o.id
"""

_DELIVERIES = f"""
select d.event_id, d.outlet_id, o.kind, d.state, d.attempts, d.attempted_at, d.http_status, d.error
from deliveries d join outlets o on o.id = d.outlet_id
where d.event_id = any(%(event_ids)s) and o.client = %(client)s
order by d.event_id, d.outlet_id
limit {MOST_DELIVERIES}
"""


def outlets_of(conn: Connection, client: str, *, above_event_id: int = 0) -> tuple[OutletRow, ...]:
    """The outlets of ``client`` by id; deliveries are counted of events above ``above_event_id``."""
    rows = conn.exec_driver_sql(_OUTLETS, {"client": client, "above": above_event_id})
    return tuple(
        OutletRow(
            id=outlet_id,
            kind=Kind(kind),
            to=shown_url(url),
            disabled_why=disabled_why,
            delivered=delivered,
            waiting=waiting,
            dead=dead,
            last_at=last_at,
            last_error=last_error,
        )
        for outlet_id, kind, url, disabled_why, delivered, waiting, dead, last_at, last_error in rows
    )


def deliveries_of(conn: Connection, client: str, event_ids: Collection[int]) -> tuple[EventDelivery, ...]:
    """How these events of ``client`` went to its outlets, by event and outlet; at most MOST_DELIVERIES."""
    rows = conn.exec_driver_sql(_DELIVERIES, {"client": client, "event_ids": list(event_ids)})
    return tuple(
        EventDelivery(
            event_id=event_id,
            outlet_id=outlet_id,
            kind=Kind(kind),
            state=State(state),
            attempts=attempts,
            attempted_at=attempted_at,
            http_status=http_status,
            error=error,
        )
        for event_id, outlet_id, kind, state, attempts, attempted_at, http_status, error in rows
    )
