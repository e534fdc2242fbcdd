"""The claim: a firing changes its rule and stores its events exactly once, however many endpoints run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from psycopg import AsyncConnection

from coinwatch.alerts import Alert, Firing, RuleState, Transition
from warehouse.alerts.rules import ALERTS
from warehouse.db.prepared import Prepared, run_prepared

# One statement: each more is a round trip that delays every alert.
#
# Rows are locked in the order of their ids: two endpoints claiming the same rules in another order
# would each wait for what the other holds. Skipping locked rows would lose an alert whose claimer dies.
#
# The counter's row stays locked to the end of the transaction, so the order of numbers is the order
# of commits: after event 12 is read, no event 11 can appear. A sequence does not guarantee that.
#
# "is true" keeps the set of claimed rules a hash: joined, it may be gone through for each event.
# Parameters are JSON: cheaper for both sides than twenty arrays.
_CLAIM = b"""
with seen as (
    select id, state_before, state_no, armed, state,
           timestamptz 'epoch' + fired_us * interval '1 microsecond' as fired_at
    from jsonb_to_recordset($1)
         as seen (id bigint, state_before int, state_no int, armed bool, state jsonb, fired_us bigint)
), locked as (
    select seen.* from seen join alert_rules r on r.id = seen.id
    where r.armed and r.state_no = seen.state_before
    order by r.id
    for update of r
), claimed as (
    update alert_rules r
    set armed = locked.armed, state_no = locked.state_no, state = locked.state, fired_at = locked.fired_at
    from locked
    where r.id = locked.id
    returning r.id
), fired as (
    select row_number() over (order by place) as number, event.*,
           timestamptz 'epoch' + ts_us * interval '1 microsecond' as ts
    from rows from (
        jsonb_to_recordset($2)
        as (rule_id bigint, client text, connection text, symbol text, exchange text, trade_id bigint,
            price float8, ts_us bigint, message text, value float8, late bool, paused bool)
    ) with ordinality
      as event (rule_id, client, connection, symbol, exchange, trade_id, price, ts_us, message, value, late,
                paused, place)
    where (rule_id in (select id from claimed)) is true
), numbers as (
    update alert_counter set last_event_id = last_event_id + count
    from (select count(*) from fired) as of_fired
    where count > 0
    returning last_event_id - count as before, last_event_id as last
), broken as (
    select distinct m.base || '-' || m.quote as symbol, m.exchange
    from stream_gaps g join markets m on m.id = g.market_id where g.state = 'open'
), stored as (
    insert into alert_events (event_id, rule_id, client, connection, symbol, exchange, trade_id,
                              price, ts, message, value, late, paused, degraded)
    select before + number, rule_id, client, connection, symbol, exchange, trade_id, price, ts, message,
           value, late, paused,
           exists (
               select from broken
               where broken.symbol = fired.symbol
                 and broken.exchange = coalesce(fired.exchange, broken.exchange)
           )
    from numbers, fired
    returning event_id, degraded
)
select json_build_object(
    'ids', array(select id from claimed),
    'before', (select before from numbers),
    'degraded', array(select event_id from stored where degraded),
    'notified', (select pg_notify($3, (before + 1) || ',' || last)::text from numbers)
)
"""
_JSONB, _TEXT = 3802, 25
_PREPARED = Prepared(b"alert_claim", _CLAIM, (_JSONB, _JSONB, _TEXT), (False, False, False))

PAUSED = "(paused: it fired more than 15 times in 3 minutes; resume it when you want to hear of it again)"

_encode = msgspec.json.Encoder().encode


class _Change(msgspec.Struct, frozen=True):
    """A Transition as the statement reads it."""

    id: int
    state_before: int
    state_no: int
    armed: bool
    state: RuleState
    fired_us: int | None

    @classmethod
    def of(cls, change: Transition) -> _Change:
        after = change.after
        return cls(
            change.before.id,
            change.before.state_no,
            after.state_no,
            after.armed,
            after.state,
            after.fired_at_us,
        )


class _Answer(msgspec.Struct, frozen=True):
    """The reply of the statement."""

    ids: set[int]
    before: int | None
    """The number before the first event; None where there is none."""
    degraded: set[int]


_decode = msgspec.json.Decoder(_Answer).decode


class Claimed(msgspec.Struct, frozen=True):
    """The result of a claim."""

    ids: set[int]
    """The rules that were changed."""
    alerts: list[Alert]
    """The events stored for them, in order; their numbers are consecutive."""


async def claim(conn: AsyncConnection, changes: Sequence[Transition]) -> Claimed:
    """Apply these transitions in one transaction, and number their events in the order given.

    Rules, events and their notification on ``alerts`` appear together. A rule missing from the result was
    changed or removed by another process meanwhile: read it again.
    """
    by_id = sorted(changes, key=lambda change: change.before.id)
    alerts = [
        # Only the last firing of a rule mentions its pause.
        _alert(firing, paused=change.after.state.paused and firing is change.firings[-1])
        for change in changes
        for firing in change.firings
    ]
    asked = _encode([_Change.of(change) for change in by_id]), _encode(alerts), ALERTS.encode()
    answer = await run_prepared(conn, _PREPARED, asked)
    assert answer is not None  # noqa: S101  # one row, always
    claimed = _decode(answer)
    won = (alert for alert in alerts if alert.rule_id in claimed.ids)
    return Claimed(
        claimed.ids,
        [
            msgspec.structs.replace(alert, event_id=number, degraded=number in claimed.degraded)
            for number, alert in enumerate(won, (claimed.before or 0) + 1)
        ],
    )


def _alert(firing: Firing, *, paused: bool) -> Alert:
    """The event of ``firing``, not numbered yet."""
    rule = firing.rule
    return Alert(
        event_id=0,
        rule_id=rule.id,
        client=rule.client,
        connection=rule.connection,
        symbol=str(rule.symbol),
        exchange=firing.exchange,
        trade_id=firing.trade_id,
        price=firing.price,
        ts_us=firing.ts_us,
        message=f"{firing.message} {PAUSED}" if paused else firing.message,
        value=firing.value,
        late=firing.late,
        paused=paused,
    )
