"""Stored alert rules, parsed. An unreadable rule does not affect the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import msgspec
import structlog

from coinwatch.alerts import Above, Below, Condition, Rule, RuleState, Terms
from coinwatch.alerts.condition_parser import TERMS, read_condition, read_terms
from coinwatch.alerts.field_parsers import InvalidField, refuse_unknown
from coinwatch.alerts.rules import NEW, NO_TERMS
from coinwatch.errors import UnreadableRule
from coinwatch.records import Symbol
from coinwatch.times import from_datetime

RULE_COLUMNS = """
    id, client, connection, exchange, base, quote, typed, condition, terms, note, armed, state_no,
    state, created_at, fired_at
"""

_SIDES: dict[Any, type[Above | Below]] = {"above": Above, "below": Below}

log = structlog.get_logger(__name__)


class StoredRules(NamedTuple):
    rules: list[Rule]
    unreadable: list[UnreadableRule]
    """Rules stored by a newer version, or edited by hand. They are not evaluated."""


def read_rules(rows: Iterable[Sequence[Any]]) -> StoredRules:
    """The rules in rows of ``RULE_COLUMNS``; the first time that one cannot be read, it is logged."""
    stored = StoredRules([], [])
    for row in rows:
        try:
            stored.rules.append(read_rule(row))
        except UnreadableRule as unreadable:
            stored.unreadable.append(unreadable)
            _log_once(unreadable.rule_id, str(unreadable), unreadable.hint)
    return stored


def read_rule(row: Iterable[Any]) -> Rule:
    """The rule in a row of ``RULE_COLUMNS``, and whatever comes after them. Raises UnreadableRule."""
    rule_id, client, connection, exchange, base, quote, typed, condition, terms, note, *state = row
    armed, state_no, come_to, created_at, fired_at = state[:5]
    try:
        waits_for = _read_condition(condition)
        return Rule(
            id=rule_id,
            client=client,
            connection=connection,
            exchange=exchange,
            symbol=_symbol(base, quote),
            typed=typed,
            condition=waits_for,
            terms=_read_terms(terms, waits_for) if terms else NO_TERMS,
            note=note,
            armed=armed,
            state_no=state_no,
            state=msgspec.convert(come_to, RuleState) if come_to else NEW,
            created_at_us=from_datetime(created_at),
            fired_at_us=_read_moment(fired_at),
        )
    except (InvalidField, msgspec.ValidationError) as fault:
        raise UnreadableRule(rule_id, str(fault)) from fault
    except Exception as fault:  # any value may have been written by hand
        raise UnreadableRule(rule_id, repr(fault)) from fault


def _read_condition(stored: Any) -> Condition:
    # Most rules wait for one price: that is read fast, since there may be a million.
    if isinstance(stored, dict) and len(stored) == 2 and isinstance(stored.get("price"), float):
        price, side = stored["price"], stored.get("type")
        if 0 < price < inf and side in _SIDES:
            return _SIDES[side](price=price)
    return read_condition(stored)


def _read_terms(stored: Any, condition: Condition) -> Terms:
    # Without a term it does not know, it would fire when it should not.
    refuse_unknown(stored, set(TERMS), "terms that are known here")
    return read_terms(stored, condition)


@lru_cache(maxsize=10_000)
def _symbol(base: str, quote: str) -> Symbol:
    # One for all rules of a pair: there may be a million.
    return Symbol(base, quote)


def _read_moment(moment: datetime | None) -> int | None:
    return None if moment is None else from_datetime(moment)


@lru_cache(maxsize=1_000)
def _log_once(rule_id: int, reason: str, hint: str) -> None:
    # Cached, so that a rule that is read repeatedly is logged once.
    log.warning("unreadable rule is ignored", rule_id=rule_id, reason=reason, hint=hint)
