"""Edits of alert rules on pages: pause, snooze, resume, replace, send a test.

Each announces the rule's id on ``alert_rules`` in its own transaction, as in ``alerts``. All take a
``sqlalchemy.Connection`` and leave the commit to their caller.
"""
# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from coinwatch.alerts import NewRule, Rule
from coinwatch.times import to_datetime
from warehouse.alerts.rules import ALERTS, PAUSE, RESUME, SNOOZE, create_rule, delete_rule

TEST = "TEST, nothing has happened"
"""How the message of a test begins."""

# Numbered as in a claim, so that numbers follow the order of commits.
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
    """Keep an armed rule of ``client`` from firing until it is resumed. False when there is no such rule."""
    return _change(conn, PAUSE, rule_id=rule_id, client=client)


def resume_rule(conn: Connection, rule_id: int, *, client: str) -> bool:
    """End the pause or the snooze of an armed rule of ``client``. False when there is no such rule."""
    return _change(conn, RESUME, rule_id=rule_id, client=client)


def snooze_rule(conn: Connection, rule_id: int, until_us: int, *, client: str) -> bool:
    """Keep an armed rule of ``client`` from firing before ``until_us``. False when there is no such rule."""
    return _change(conn, SNOOZE, rule_id=rule_id, client=client, until_us=until_us)


def replace_rule(conn: Connection, rule_id: int, rule: NewRule) -> Rule | None:
    """Store ``rule``, armed, in place of another one of its client; None, storing nothing, when that is gone.

    The new rule has an id of its own, so late events of the old rule are never attributed to it.
    """
    assert rule.client is not None  # noqa: S101  # pages make rules of named clients only
    return create_rule(conn, rule) if delete_rule(conn, rule_id, client=rule.client) else None


def send_test(conn: Connection, rule: Rule, *, exchange: str | None, price: float | None, ts_us: int) -> int:
    """Store a test event of ``rule``, delivered like a real alert; return its number.

    The message starts with TEST. The rule does not change.
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
    return conn.exec_driver_sql(statement, {**asked, "connection": None}).first() is not None
