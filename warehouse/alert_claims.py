"""Changing a rule, once and only once however many endpoints see why: a claim in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from coinwatch.alerts import Transition
from coinwatch.times import to_datetime
from warehouse.alerts import ALERTS

# Rows are locked in the order of their ids: two endpoints claiming the same rules in another order
# would each wait for what the other holds. Skipping locked rows would lose an alert whose claimer dies.
_LOCK = "select from alert_rules where id = any(%(ids)s) order by id for update"

_CLAIM = """
update alert_rules r
set armed = seen.armed, state_no = seen.state_no, state = seen.state, fired_at = seen.fired_at
from unnest(%(ids)s::bigint[], %(states_before)s::int[], %(states_after)s::int[], %(armed)s::bool[],
            %(states)s::jsonb[], %(fired)s::timestamptz[])
     as seen (id, state_before, state_no, armed, state, fired_at)
where r.id = seen.id and r.armed and r.state_no = seen.state_before
returning r.id
"""

# The counter's row stays locked to the end of the transaction, so the order of numbers is the order
# of commits: who has read event 12 can never meet an 11 later. A sequence cannot promise that.
_STORE = """
with numbers as (
    update alert_counter set last_event_id = last_event_id + cardinality(%(rule_ids)s::bigint[])
    returning last_event_id - cardinality(%(rule_ids)s::bigint[]) as before, last_event_id as last
), broken as (
    select distinct m.base, m.quote, m.exchange
    from stream_gaps g join markets m on m.id = g.market_id where g.state = 'open'
), stored as (
    insert into alert_events (event_id, rule_id, client, connection, symbol, exchange, trade_id,
                              price, ts, message, value, late, paused, degraded)
    select numbers.before + place, rule_id, client, connection, base || '-' || quote, exchange, trade_id,
           price, ts, message, value, late, paused,
           exists (
               select from broken
               where broken.base = event.base and broken.quote = event.quote
                 and broken.exchange = coalesce(event.exchange, broken.exchange)
           )
    from numbers, unnest(%(rule_ids)s::bigint[], %(clients)s::text[], %(connections)s::text[],
                         %(bases)s::text[], %(quotes)s::text[], %(exchanges)s::text[],
                         %(trade_ids)s::bigint[], %(prices)s::float8[], %(times)s::timestamptz[],
                         %(messages)s::text[], %(values)s::float8[], %(late)s::bool[], %(paused)s::bool[])
         with ordinality
         as event (rule_id, client, connection, base, quote, exchange, trade_id, price, ts, message, value,
                   late, paused, place)
)
select pg_notify(%(channel)s, (before + 1) || ',' || last) from numbers
"""


async def claim(conn: AsyncConnection, changes: Sequence[Transition]) -> set[int]:
    """Make these changes, numbering their events in this order; returns the ids of the rules claimed.

    A rule that is not claimed was changed or removed by somebody else meanwhile: read it again. All in one
    transaction: rules, events and their announcement on ``alerts`` appear together.
    """
    by_id = sorted(changes, key=lambda change: change.before.id)
    seen = {
        "ids": [change.before.id for change in by_id],
        "states_before": [change.before.state_no for change in by_id],
        "states_after": [change.after.state_no for change in by_id],
        "armed": [change.after.armed for change in by_id],
        "states": [Jsonb(msgspec.to_builtins(change.after.state)) for change in by_id],
        "fired": [_moment(change.after.fired_at_us) for change in by_id],
    }
    async with conn.transaction():
        await conn.execute(_LOCK, seen)
        claimed = {rule_id for (rule_id,) in await (await conn.execute(_CLAIM, seen)).fetchall()}
        won = [change for change in changes if change.before.id in claimed]
        if any(change.firings for change in won):
            await conn.execute(_STORE, _events(won))
    return claimed


def _events(changes: Sequence[Transition]) -> Mapping[str, object]:
    # With the pause only the last firing of a rule tells of it.
    told = [
        (firing, change.after.state.paused and firing is change.firings[-1])
        for change in changes
        for firing in change.firings
    ]
    firings = [firing for firing, _ in told]
    return {
        "channel": ALERTS,
        "rule_ids": [firing.rule.id for firing in firings],
        "clients": [firing.rule.client for firing in firings],
        "connections": [firing.rule.connection for firing in firings],
        "bases": [firing.rule.symbol.base for firing in firings],
        "quotes": [firing.rule.symbol.quote for firing in firings],
        "exchanges": [firing.exchange for firing in firings],
        "trade_ids": [firing.trade_id for firing in firings],
        "prices": [firing.price for firing in firings],
        "times": [to_datetime(firing.ts_us) for firing in firings],
        "messages": [
            f"{firing.message} {PAUSED}" if is_paused else firing.message for firing, is_paused in told
        ],
        "values": [firing.value for firing in firings],
        "late": [firing.late for firing in firings],
        "paused": [is_paused for _, is_paused in told],
    }


def _moment(ts_us: int | None) -> object:
    return None if ts_us is None else to_datetime(ts_us)


PAUSED = "(paused: it fired more than 15 times in 3 minutes; resume it when you want to hear of it again)"
