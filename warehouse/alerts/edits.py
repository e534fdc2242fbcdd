"""What people do to alert rules on pages: pause, snooze, resume, replace, and try them out.

Each announces the rule's id on ``alert_rules`` in its own transaction, as in ``alerts``. All take a
``sqlalchemy.Connection`` and leave the commit to their caller.
"""
# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from coinwatch.alerts import NewRule, Rule
from coinwatch.times import to_datetime
from warehouse.alerts.rules import ALERT_RULES, ALERTS, create_rule, delete_rule

TEST = "TEST, nothing has happened"
"""How the message of a test begins."""

# What an endpoint knew of the rule before is out of date: a claim made on it comes to nothing.
_CHANGE = f"""
with changed as (
    update alert_rules set state = {{state}}, state_no = state_no + 1
    where id = %(rule_id)s and client = %(client)s and armed
    returning id
)
select pg_notify('{ALERT_RULES}', id::text) from changed
"""
_PAUSE = _CHANGE.format(state="""state || '{"paused": true}'""")
_RESUME = _CHANGE.format(state="state - 'paused' - 'recent_us' - 'snoozed_until_us'")
_SNOOZE = _CHANGE.format(
    state="state || jsonb_build_object('snoozed_until_us', %(until_us)s::bigint)",
)

# Numbered as claims number theirs, so that the order of numbers stays that of commits.
_TEST = f"""
with numbered as (
    update alert_counter set last_event_id = last_event_id + 1 returning last_event_id as event_id
), stored as (
    insert into alert_events (event_id, rule_id, client, symbol, exchange, price, ts, message)
    select event_id, %(rule_id)s, %(client)s, %(symbol)s, %(exchange)s, %(price)s, %(ts)s, %(message)s
    from numbered
)
select event_id, pg_notify('{ALERTS}', event_id || ',' || event_id) from numbered
"""


def pause_rule(conn: Connection, rule_id: int, *, client: str) -> bool:
    """Let an armed rule of ``client`` not fire until it is resumed. False when it has no such rule."""
    return _change(conn, _PAUSE, rule_id=rule_id, client=client)


def resume_rule(conn: Connection, rule_id: int, *, client: str) -> bool:
    """End the pause or the snooze of an armed rule of ``client``. False when it has no such rule."""
    return _change(conn, _RESUME, rule_id=rule_id, client=client)


def snooze_rule(conn: Connection, rule_id: int, until_us: int, *, client: str) -> bool:
    """Let an armed rule of ``client`` not fire before ``until_us``. False when it has no such rule."""
    return _change(conn, _SNOOZE, rule_id=rule_id, client=client, until_us=until_us)


def replace_rule(conn: Connection, rule_id: int, rule: NewRule) -> Rule | None:
    """Store ``rule``, armed, in place of another one of its client; None, storing nothing, when that is gone.

    It is a new rule with an id of its own, so nothing the old one was about to do can be taken for its doing.
    """
    assert rule.client is not None  # noqa: S101  # pages make rules of named clients only
    return create_rule(conn, rule) if delete_rule(conn, rule_id, client=rule.client) else None


def send_test(conn: Connection, rule: Rule, *, exchange: str | None, price: float | None, ts_us: int) -> int:
    """Tell the client of ``rule`` as if it had fired, on every way its alerts go; returns the event's number.

    The message says that it is a test, and nothing becomes of the rule itself.
    """
    asked = {
        "rule_id": rule.id,
        "client": rule.client,
        "symbol": str(rule.symbol),
        "exchange": exchange,
        "price": price,
        "ts": to_datetime(ts_us),
        "message": f"{TEST}: {rule.message_for(exchange, price, ts_us)}",
    }
    return int(conn.exec_driver_sql(_TEST, asked).one()[0])


def _change(conn: Connection, statement: str, **asked: Any) -> bool:
    return conn.exec_driver_sql(statement, asked).first() is not None
