"""Firing a rule, once and only once however many endpoints see the trade: a claim in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from psycopg import AsyncConnection

from coinwatch.alerts import Rule
from coinwatch.records import Trade
from coinwatch.times import to_datetime
from warehouse.alerts import ALERTS


class Firing(msgspec.Struct, frozen=True):
    """A rule and the trade that meets its condition. Not an alert until it is claimed."""

    rule: Rule
    trade: Trade


# Rows are locked in the order of their ids: two endpoints claiming the same rules in another order
# would each wait for what the other holds. Skipping locked rows would lose an alert whose claimer dies.
_LOCK = "select from alert_rules where id = any(%(ids)s) order by id for update"

_CLAIM = """
update alert_rules r set armed = false, state_no = r.state_no + 1, fired_at = now()
from unnest(%(ids)s::bigint[], %(states)s::int[]) as seen (id, state_no)
where r.id = seen.id and r.armed and r.state_no = seen.state_no
returning r.id
"""

# The counter's row stays locked to the end of the transaction, so the order of numbers is the order
# of commits: who has read event 12 can never meet an 11 later. A sequence cannot promise that.
_STORE = """
with numbers as (
    update alert_counter set last_event_id = last_event_id + cardinality(%(rule_ids)s::bigint[])
    returning last_event_id - cardinality(%(rule_ids)s::bigint[]) as before, last_event_id as last
), stored as (
    insert into alert_events (event_id, rule_id, client, connection, symbol, exchange, trade_id,
                              price, ts, message)
    select numbers.before + place, rule_id, client, connection, symbol, exchange, trade_id, price, ts, message
    from numbers, unnest(%(rule_ids)s::bigint[], %(clients)s::text[], %(connections)s::text[],
                         %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::bigint[],
                         %(prices)s::float8[], %(times)s::timestamptz[], %(messages)s::text[])
         with ordinality
         as event (rule_id, client, connection, symbol, exchange, trade_id, price, ts, message, place)
)
select pg_notify(%(channel)s, (before + 1) || ',' || last) from numbers
"""


async def claim(conn: AsyncConnection, firings: Sequence[Firing]) -> set[int]:
    """Fire these rules, numbering their events in this order; returns the ids of the rules claimed.

    A rule that is not claimed was fired, changed or removed by somebody else meanwhile: read it again.
    All in one transaction: rules, events and their announcement on ``alerts`` appear together.
    """
    by_id = sorted(firings, key=lambda firing: firing.rule.id)
    seen = {
        "ids": [firing.rule.id for firing in by_id],
        "states": [firing.rule.state_no for firing in by_id],
    }
    async with conn.transaction():
        await conn.execute(_LOCK, seen)
        claimed = {rule_id for (rule_id,) in await (await conn.execute(_CLAIM, seen)).fetchall()}
        won = [firing for firing in firings if firing.rule.id in claimed]
        if won:
            await conn.execute(
                _STORE,
                {
                    "channel": ALERTS,
                    "rule_ids": [firing.rule.id for firing in won],
                    "clients": [firing.rule.client for firing in won],
                    "connections": [firing.rule.connection for firing in won],
                    "symbols": [str(firing.rule.symbol) for firing in won],
                    "exchanges": [firing.trade.market.exchange for firing in won],
                    "trade_ids": [firing.trade.trade_id for firing in won],
                    "prices": [firing.trade.price for firing in won],
                    "times": [to_datetime(firing.trade.ts_us) for firing in won],
                    "messages": [
                        firing.rule.message_for(firing.trade.market.exchange, firing.trade.price)
                        for firing in won
                    ],
                },
            )
    return claimed
