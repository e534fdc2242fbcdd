"""What people do to rules on pages, as it is stored and announced."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL, Connection

from coinwatch.alerts import Above, Below, NewRule, Rule, RuleState
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US
from warehouse.alerts import edits, rules
from warehouse.db.connect import conninfo

NOW_US = 1_795_176_000 * SECOND_US
WISH = NewRule(symbol=Symbol("BTC", "USDT"), condition=Above(price=1.0), typed="btcusdt", client="ann")


@pytest.fixture
def conn(database: URL) -> Iterator[Connection]:
    engine = sqlalchemy.create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        yield conn
    engine.dispose()


@pytest.fixture
def rule(conn: Connection) -> Rule:
    return rules.create_rule(conn, WISH)


def stored(conn: Connection) -> Rule:
    (rule,) = rules.list_rules(conn, client="ann").rules
    return rule


def test_a_rule_is_paused_snoozed_and_resumed(conn: Connection, rule: Rule, database: URL) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as listener:
        listener.execute(f"listen {rules.ALERT_RULES}")
        assert edits.pause_rule(conn, rule.id, client="ann")
        assert stored(conn).state == RuleState(paused=True)
        assert edits.snooze_rule(conn, rule.id, NOW_US, client="ann")
        assert stored(conn).state == RuleState(paused=True, snoozed_until_us=NOW_US)
        assert edits.resume_rule(conn, rule.id, client="ann")
        assert stored(conn).state == RuleState()
        # Each makes what was about to be claimed void, and is announced.
        assert stored(conn).state_no == rule.state_no + 3
        payloads = [notice.payload for notice in listener.notifies(stop_after=3, timeout=60)]
    assert payloads == [str(rule.id)] * 3


def test_rules_of_other_clients_and_removed_rules_do_not_change(conn: Connection, rule: Rule) -> None:
    assert not edits.pause_rule(conn, rule.id, client="bob")
    assert not edits.resume_rule(conn, rule.id + 1, client="ann")
    assert not edits.snooze_rule(conn, rule.id, NOW_US, client="bob")
    other = NewRule(symbol=WISH.symbol, condition=Below(price=1.0), typed="btcusdt", client="bob")
    assert edits.replace_rule(conn, rule.id, other) is None
    assert stored(conn) == rule
    assert rules.list_rules(conn, client="bob").rules == []


def test_a_rule_is_replaced(conn: Connection, rule: Rule) -> None:
    other = NewRule(symbol=WISH.symbol, condition=Below(price=2.0), typed="btcusdt", client="ann")
    made = edits.replace_rule(conn, rule.id, other)
    assert made == stored(conn)
    assert made is not None
    assert made.id != rule.id
    assert (made.condition, made.armed) == (Below(price=2.0), True)


def test_test_alerts_are_marked_as_tests(conn: Connection, rule: Rule, database: URL) -> None:
    with psycopg.connect(conninfo(database), autocommit=True) as listener:
        listener.execute(f"listen {rules.ALERTS}")
        numbers = [edits.send_test(conn, rule, exchange="kraken", price=2.5, ts_us=NOW_US) for _ in range(2)]
        payloads = [notice.payload for notice in listener.notifies(stop_after=2, timeout=60)]
    assert payloads == [f"{number},{number}" for number in numbers]
    assert numbers[1] == numbers[0] + 1
    newest, _ = rules.recent_events(conn, client="ann", rule_id=rule.id)
    assert newest.message == ("TEST, nothing has happened: BTC-USDT traded at 2.5 on kraken, at or above 1")
    assert (newest.event_id, newest.price, newest.ts_us) == (numbers[1], 2.5, NOW_US)
    assert stored(conn) == rule
    assert rules.recent_events(conn, client="ann", rule_id=rule.id + 1) == []
