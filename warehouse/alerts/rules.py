"""Alert rules and events, written and read. Claims are in ``warehouse.alerts.claims``.

Each write notifies ``alert_rules`` of the rule's id in its own transaction, so that every endpoint learns
of changes in commit order. Functions for pages take a ``sqlalchemy.Connection`` and leave the commit to
the caller; those for the endpoint are async and take a connection in autocommit mode. Both run the same
SQL.
"""
# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable
from typing import Any

import sqlalchemy
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from coinwatch.alerts import Alert, NewRule, Rule
from coinwatch.alerts.condition_parser import fields_of, terms_fields
from coinwatch.times import from_datetime
from warehouse.alerts.rows import RULE_COLUMNS, StoredRules, read_rule, read_rules

ALERT_RULES = "alert_rules"
"""NOTIFY channel: the id of a rule that was created, changed or removed."""

ALERTS = "alerts"
"""NOTIFY channel: the ids of the first and the last new event, separated by a comma."""

EVENTS_AT_ONCE = 1_000
RULES_AT_ONCE = 10_000

_EVENT_COLUMNS = """
    event_id, rule_id, client, connection, symbol, exchange, trade_id, price, ts, message, value, late,
    degraded, paused
"""

# One of the two is null, and so is what is compared with it.
_OWNED = "(client = %(client)s::text or connection = %(connection)s::text)"

_CREATE = f"""
with made as (
    insert into alert_rules (client, connection, exchange, base, quote, typed, condition, terms, note)
    values (%(client)s, %(connection)s, %(exchange)s, %(base)s, %(quote)s, %(typed)s, %(condition)s,
            %(terms)s, %(note)s)
    returning {RULE_COLUMNS}
)
select {RULE_COLUMNS}, pg_notify('{ALERT_RULES}', id::text) from made
"""

_DELETE = f"""
with gone as (
    delete from alert_rules
    where id = %(rule_id)s
      and {_OWNED}
    returning id
)
select pg_notify('{ALERT_RULES}', id::text) from gone
"""

# The new state number makes claims based on the old state fail.
_CHANGE = f"""
with changed as (
    update alert_rules set state = {{state}}, state_no = state_no + 1
    where id = %(rule_id)s and armed
      and {_OWNED}
    returning {RULE_COLUMNS}
)
select {RULE_COLUMNS}, pg_notify('{ALERT_RULES}', id::text) from changed
"""
PAUSE = _CHANGE.format(state="""state || '{"paused": true}'""")
RESUME = _CHANGE.format(state="state - 'paused' - 'recent_us' - 'snoozed_until_us'")
SNOOZE = _CHANGE.format(state="state || jsonb_build_object('snoozed_until_us', %(until_us)s::bigint)")
"""Changes of an armed rule of ``client`` or ``connection``; each returns the rule, if there is one."""

_DELETE_OF_CONNECTION = f"""
with gone as (delete from alert_rules where connection = %s returning id)
select count(pg_notify('{ALERT_RULES}', id::text)) from gone
"""

_ARMED_OF_OWNER = f"""
select {RULE_COLUMNS} from alert_rules
where armed
  and {_OWNED}
order by id
limit {RULES_AT_ONCE}
"""

_ARMED_IDS_OF_CLIENT = """
select id, coalesce(terms ->> 'repeat', 'once') = 'once' from alert_rules where armed and client = %s
"""

_ALL_OF_CLIENT = f"""
select {RULE_COLUMNS} from alert_rules where client = %(client)s order by id desc limit {RULES_AT_ONCE}
"""

_COUNT_OF_CLIENT = "select count(*) from alert_rules where armed and client = %s"

_COUNT_OF_OWNER = """
select (
    select count(*) from alert_rules where armed and starts_with(client, %(owner)s::text || '/')
) + (
    select count(*) from alert_rules
    where armed and connection is not null and split_part(connection, '/', 3) = %(owner)s::text
)
"""

_ARMED = f"select {RULE_COLUMNS} from alert_rules where armed"
_BY_ID = f"select {RULE_COLUMNS} from alert_rules where id = any(%s)"

_LAST_EVENT = "select coalesce(max(last_event_id), 0) from alert_counter"

_EVENTS_AFTER = f"""
select {_EVENT_COLUMNS} from alert_events where event_id > %s order by event_id limit {EVENTS_AT_ONCE}
"""

_EVENTS_OF_CLIENT = f"""
select {_EVENT_COLUMNS} from alert_events
where client = %s and event_id > %s and event_id <= %s
order by event_id
limit {EVENTS_AT_ONCE}
"""

_EVENTS_BY_ID = f"select {_EVENT_COLUMNS} from alert_events where event_id = any(%s)"

_RECENT_EVENTS = f"""
select {_EVENT_COLUMNS} from alert_events
where (%(client)s::text is null or client = %(client)s)
  and (%(rule_id)s::bigint is null or rule_id = %(rule_id)s)
order by event_id desc
limit %(limit)s
"""

_SEEN = """
insert into subscribers (name) values (%s) on conflict (name) do update set last_seen_at = now()
"""


def connection_key(instance: str, number: int, owner: str | None) -> str:
    """The key of the rules of an unnamed client: its connection, and the owner of its token."""
    return f"{instance}/{number}" if owner is None else f"{instance}/{number}/{owner}"


def create_rule(conn: sqlalchemy.Connection, rule: NewRule) -> Rule:
    """Store ``rule``, armed. It fires on the first trade committed after it that meets its condition."""
    return read_rule(conn.exec_driver_sql(_CREATE, _values(rule)).one())


def delete_rule(conn: sqlalchemy.Connection, rule_id: int, *, client: str) -> bool:
    """Remove a rule of ``client``, fired or not. False when it has no such rule."""
    owner = {"rule_id": rule_id, "client": client, "connection": None}
    return conn.exec_driver_sql(_DELETE, owner).first() is not None


def list_rules(conn: sqlalchemy.Connection, *, client: str) -> StoredRules:
    """Every rule of ``client``, fired ones too, newest first; at most RULES_AT_ONCE."""
    return read_rules(conn.exec_driver_sql(_ALL_OF_CLIENT, {"client": client}))


def recent_events(
    conn: sqlalchemy.Connection, *, client: str | None = None, rule_id: int | None = None, limit: int = 100
) -> list[Alert]:
    """The last ``limit`` events of ``client`` (None: of all clients), or of one rule, newest first."""
    asked = {"client": client, "rule_id": rule_id, "limit": limit}
    rows = conn.exec_driver_sql(_RECENT_EVENTS, asked)
    return [_read_event(row) for row in rows]


async def add_rule(conn: AsyncConnection, rule: NewRule) -> Rule:
    """``create_rule`` for the endpoint."""
    row = await (await conn.execute(_CREATE, _values(rule))).fetchone()
    assert row is not None  # noqa: S101  # one row, always
    return read_rule(row)


async def remove_rule(
    conn: AsyncConnection, rule_id: int, *, client: str | None, connection: str | None
) -> bool:
    """Remove a rule of this owner, fired or not. False when it has no such rule."""
    owner = {"rule_id": rule_id, "client": client, "connection": connection}
    return await (await conn.execute(_DELETE, owner)).fetchone() is not None


async def snooze_rule(
    conn: AsyncConnection, rule_id: int, until_us: int, *, client: str | None, connection: str | None
) -> Rule | None:
    """Keep an armed rule of this owner from firing before ``until_us``; None when there is no such rule.

    Raises UnreadableRule.
    """
    asked = {"rule_id": rule_id, "until_us": until_us, "client": client, "connection": connection}
    row = await (await conn.execute(SNOOZE, asked)).fetchone()
    return None if row is None else read_rule(row)


async def resume_rule(
    conn: AsyncConnection, rule_id: int, *, client: str | None, connection: str | None
) -> Rule | None:
    """End the pause or the snooze of an armed rule of this owner; None when it has no such rule.

    Raises UnreadableRule.
    """
    asked = {"rule_id": rule_id, "client": client, "connection": connection}
    row = await (await conn.execute(RESUME, asked)).fetchone()
    return None if row is None else read_rule(row)


async def remove_rules_of_connection(conn: AsyncConnection, connection: str) -> int:
    """Remove every rule of a connection that has ended; returns how many there were."""
    row = await (await conn.execute(_DELETE_OF_CONNECTION, (connection,))).fetchone()
    return row[0] if row else 0


async def armed_rules_of(conn: AsyncConnection, *, client: str | None, connection: str | None) -> StoredRules:
    """The armed rules of this owner, oldest first; at most RULES_AT_ONCE."""
    cursor = await conn.execute(_ARMED_OF_OWNER, {"client": client, "connection": connection})
    return read_rules(await cursor.fetchall())


async def armed_ids_of_client(conn: AsyncConnection, client: str) -> dict[int, bool]:
    """The ids of the armed rules of a named client, and whether each is over once it has fired."""
    return dict(await (await conn.execute(_ARMED_IDS_OF_CLIENT, (client,))).fetchall())


async def armed_count_of_client(conn: AsyncConnection, client: str) -> int:
    """How many armed rules a named client has."""
    row = await (await conn.execute(_COUNT_OF_CLIENT, (client,))).fetchone()
    return row[0] if row else 0


async def armed_count_of_owner(conn: AsyncConnection, owner: str) -> int:
    """How many armed rules there are of an owner of tokens, by whatever names and connections."""
    row = await (await conn.execute(_COUNT_OF_OWNER, {"owner": owner})).fetchone()
    return row[0] if row else 0


async def armed_rules(conn: AsyncConnection) -> AsyncGenerator[list[Rule], None]:
    """Every armed rule there is that can be read, in portions. Call it inside a transaction."""
    async with conn.cursor(name="armed_rules") as cursor:
        await cursor.execute(_ARMED)
        while rows := await cursor.fetchmany(RULES_AT_ONCE // 4):
            yield read_rules(rows).rules


async def rules_by_id(conn: AsyncConnection, ids: Collection[int]) -> dict[int, Rule]:
    """The rules with these ids, as they are now; those that are gone or cannot be read are left out."""
    rows = await (await conn.execute(_BY_ID, (list(ids),))).fetchall()
    return {rule.id: rule for rule in read_rules(rows).rules}


async def last_event_id(conn: AsyncConnection) -> int:
    """The number of the newest event, 0 before the first."""
    row = await (await conn.execute(_LAST_EVENT)).fetchone()
    return row[0] if row else 0


async def events_after(conn: AsyncConnection, event_id: int) -> list[Alert]:
    """The next EVENTS_AT_ONCE events of all clients above ``event_id``, in order, none left out."""
    return _read_events(await (await conn.execute(_EVENTS_AFTER, (event_id,))).fetchall())


def last_announced(payload: str) -> int:
    """The last event id in a payload of the channel ``alerts``; 0 when it is not one of ours."""
    number = payload.rpartition(",")[2]
    return int(number) if number.isdecimal() else 0


async def events_of_client(conn: AsyncConnection, client: str, after: int, through: int) -> list[Alert]:
    """The next EVENTS_AT_ONCE events of ``client`` above ``after`` up to and with ``through``, in order."""
    cursor = await conn.execute(_EVENTS_OF_CLIENT, (client, after, through))
    return _read_events(await cursor.fetchall())


async def events_by_id(conn: AsyncConnection, ids: Collection[int]) -> dict[int, Alert]:
    """The events with these ids that are still stored."""
    rows = await (await conn.execute(_EVENTS_BY_ID, (list(ids),))).fetchall()
    return {alert.event_id: alert for alert in _read_events(rows)}


async def subscriber_seen(conn: AsyncConnection, client: str) -> None:
    """Note that this named client has connected."""
    await conn.execute(_SEEN, (client,))


def _values(rule: NewRule) -> dict[str, Any]:
    return {
        "client": rule.client,
        "connection": rule.connection,
        "exchange": rule.exchange,
        "base": rule.symbol.base,
        "quote": rule.symbol.quote,
        "typed": rule.typed,
        "condition": Jsonb(fields_of(rule.condition)),
        "terms": Jsonb(terms_fields(rule.terms)),
        "note": rule.note,
    }


def _read_events(rows: Iterable[Iterable[Any]]) -> list[Alert]:
    return [_read_event(row) for row in rows]


def _read_event(row: Iterable[Any]) -> Alert:
    event_id, rule_id, client, connection, symbol, exchange, trade_id, price, ts, message, *more = row
    value, late, degraded, paused = more
    return Alert(
        event_id=event_id,
        rule_id=rule_id,
        client=client,
        connection=connection,
        symbol=symbol,
        exchange=exchange,
        trade_id=trade_id,
        price=price,
        ts_us=from_datetime(ts),
        message=message,
        value=value,
        late=late,
        degraded=degraded,
        paused=paused,
    )
