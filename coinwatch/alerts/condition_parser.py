"""Conditions and terms from JSON, and back. Pure: no I/O.

The same JSON is sent and stored: ``read_condition`` parses what ``fields_of`` returns. A bad value raises
``InvalidField`` with a code, a message and a hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coinwatch.alerts.conditions import (
    DECLARATIONS,
    Condition,
    Declaration,
    Group,
    declaration,
    is_momentary,
    is_per_market,
)
from coinwatch.alerts.conditions.base import MAX_PARTS
from coinwatch.alerts.field_parsers import (
    InvalidField,
    Parse,
    choice_parser,
    count_parser,
    kind,
    refuse_unknown,
    shown,
)
from coinwatch.alerts.rules import Quiet, Repeat, Terms
from coinwatch.alerts.term_parsers import (
    read_expires,
    read_hysteresis,
    read_quiet,
    read_template,
    read_term_duration,
)
from coinwatch.alerts.texts import duration_text, moment_text
from coinwatch.intervals import Interval

MAX_DEPTH = 3

EXAMPLES: dict[str, str] = {name: declared.example for name, declared in DECLARATIONS.items()}
"""JSON of a condition of each type."""
EXAMPLE = EXAMPLES["above"]

_TERMS: list[tuple[str, str, Parse]] = [
    ("holds_for", "holds_for_s", read_term_duration),
    ("confirmed_on", "confirmed_on", count_parser(1, 50)),
    ("repeat", "repeat", choice_parser(Repeat)),
    ("candle", "candle", choice_parser(Interval)),
    ("hysteresis", "hysteresis", read_hysteresis),
    ("cooldown", "cooldown_s", read_term_duration),
    ("quiet_hours", "quiet", read_quiet),
    ("template", "template", read_template),
]
"""The name in JSON, that of the struct's field, and its parser."""
TERMS = (*(name for name, _, _ in _TERMS), "expires")
"""The fields of a command that are a rule's terms."""
_NO_TERMS = Terms()


def read_condition(value: Any, *, depth: int = 1) -> Condition:
    """Parse the JSON object of a condition. Raises InvalidField."""
    if not isinstance(value, dict):
        raise InvalidField("bad_condition", f"condition is {kind(value)}", f"an object like {EXAMPLE}")
    name = value.get("type")
    declared = DECLARATIONS.get(name) if isinstance(name, str) else None
    if declared is None:
        problem = f"unknown type {shown(name)}" if isinstance(name, str) else f"type is {kind(name)}"
        hint = f"type is one of {', '.join(DECLARATIONS)}"
        raise InvalidField("bad_condition", f"condition: {problem}", hint)
    if not value.keys() <= declared.names:
        fields = ", ".join(sorted(field.name for field in declared.fields)) or "no other fields"
        refuse_unknown(value, declared.names, f"{name} takes {fields}")
    if issubclass(declared.struct, Group):
        return declared.struct(of=_parts(value.get("of"), declared, depth))
    given = {}
    for field in declared.fields:
        sent = value.get(field.name)
        if sent is not None and field.parse is not None:
            given[field.attribute] = field.parse(sent, field.name)
        elif field.is_required:
            raise InvalidField(
                "missing_field", f"{name} needs {_with_article(field.name)}", f"like {declared.example}"
            )
    condition = declared.struct(**given)
    condition.refuse_contradictions()
    return condition


def read_terms(fields: Mapping[str, Any], condition: Condition, now_us: int | None = None) -> Terms:
    """Parse the terms among the fields of a command. Raises InvalidField.

    Args:
        fields: those of the command; others than terms are ignored.
        condition: the condition they are for.
        now_us: now, for an expiry that is given as a duration; None for a stored rule.
    """
    given: dict[str, Any] = {}
    for name, attribute, parse in _TERMS:
        if (sent := fields.get(name)) is not None:
            given[attribute] = parse(sent, name)
    if (sent := fields.get("expires")) is not None:
        given["expires_at_us"] = read_expires(sent, now_us)
    terms = Terms(**given)
    if (terms.repeat is Repeat.CANDLE) != (terms.candle is not None):
        raise InvalidField(
            "bad_repeat", "repeat candle and a candle interval go together", '"repeat":"candle","candle":"1h"'
        )
    if terms.holds_for_s and is_momentary(condition):
        raise InvalidField(
            "bad_holds_for",
            f"a condition that is met for a moment only cannot hold: {condition.phrase()}",
            'left out, or for a crosses with "direction":"up" or "down"',
        )
    if terms.confirmed_on > 1 and is_momentary(condition):
        raise InvalidField(
            "bad_confirmed_on",
            f"a condition that is met for a moment only cannot be confirmed: {condition.phrase()}",
            'left out, or for a crosses with "direction":"up" or "down"',
        )
    if terms.confirmed_on > 1 and not is_per_market(condition):
        raise InvalidField(
            "bad_confirmed_on",
            f"exchanges can only confirm a condition on each of them: {condition.phrase()}",
            "left out, or for a condition on the trades or candles of each exchange",
        )
    return terms


def fields_of(condition: Condition) -> dict[str, Any]:
    """The JSON object of a condition, without the fields that have their default value."""
    declared = declaration(condition)
    if isinstance(condition, Group):
        return {"type": declared.type, "of": [fields_of(part) for part in condition.of]}
    fields: dict[str, Any] = {"type": declared.type}
    for field in declared.fields:
        value = getattr(condition, field.attribute)
        if value != field.default:
            fields[field.name] = _as_json(value, field.attribute)
    return fields


def terms_fields(terms: Terms) -> dict[str, Any]:
    """The terms as fields of a command, without those that have their default value."""
    fields: dict[str, Any] = {}
    for name, attribute, _ in _TERMS:
        value = getattr(terms, attribute)
        if isinstance(value, Quiet):
            fields[name] = {"from": _clock(value.from_minute), "to": _clock(value.to_minute), "tz": value.tz}
        elif value != getattr(_NO_TERMS, attribute):
            fields[name] = _as_json(value, attribute)
    if terms.expires_at_us is not None:
        fields["expires"] = moment_text(terms.expires_at_us)
    return fields


def _parts(value: Any, declared: Declaration, depth: int) -> tuple[Condition, ...]:
    name, hint = declared.type, f"like {declared.example}"
    if not isinstance(value, list):
        raise InvalidField("bad_condition", f"{name}: of is {kind(value)}", hint)
    if not 1 <= len(value) <= MAX_PARTS:
        raise InvalidField("bad_condition", f"{name} has {len(value)} parts", f"1 to {MAX_PARTS} conditions")
    if depth >= MAX_DEPTH:
        raise InvalidField("bad_condition", "conditions are nested too deeply", f"at most {MAX_DEPTH} deep")
    return tuple(read_condition(part, depth=depth + 1) for part in value)


def _as_json(value: Any, attribute: str) -> Any:
    return duration_text(value) if attribute.endswith("_s") else msgspec.to_builtins(value)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"
