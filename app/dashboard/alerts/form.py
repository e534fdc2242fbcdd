"""From a filled-in form to an alert rule, and back. Pure: no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from app.dashboard.alerts.fields import CONDITIONS, MORE, QUIET, REPEAT, REPEATING, can_hold
from app.dashboard.data.source import CLIENT as CLIENT
from coinwatch import formats
from coinwatch.alerts import NO_MARKET, Above, All, Below, Condition, NewRule, Repeat, Terms
from coinwatch.alerts import Any as AnyOf
from coinwatch.alerts.condition_parser import fields_of, read_condition, read_terms, terms_fields
from coinwatch.alerts.conditions import Group, Scope
from coinwatch.alerts.conditions.base import MAX_PARTS
from coinwatch.alerts.conditions.fields import Field, Kind
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.errors import CoinwatchError, UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import parse_market, parse_symbol

"""The named client that owns the rules of the dashboard."""

MAX_NOTE_LENGTH = 200
MAX_CONDITIONS = MAX_PARTS
REQUIRED = "Required."

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """What the form starts with: nothing, the values of an address, or an existing rule."""

    typed: str
    parts: tuple[Values, ...]
    """Conditions as JSON, at least one."""
    join: str = "all"
    terms: Values = dataclasses.field(default_factory=dict)
    note: str = ""
    editing: int | None = None
    """The id of the rule that the form replaces."""


@dataclass(frozen=True)
class Checked:
    """A rule, or the problems by field: ``0.price`` is in the first condition, ``cooldown`` a term."""

    rule: NewRule | None
    faults: Mapping[str, str]


def resolve(typed: str, known: Collection[Market]) -> tuple[Symbol, str | None]:
    """The pair and, if it is named, the exchange of a typed symbol. Raises UnknownSymbol."""
    symbols = sorted({market.symbol for market in known})
    if ":" not in typed:
        return parse_symbol(typed, symbols), None
    market = parse_market(typed, sorted({market.exchange for market in known}), symbols)
    if market not in known:
        near = sorted(other for other in known if other.symbol == market.symbol)
        raise UnknownSymbol(typed, f"{market.exchange} does not trade it here", tuple(map(str, near)))
    return market.symbol, market.exchange


def price_from(raw: str | None) -> tuple[float | None, str]:
    """The price in an address, and an error message if it is not a price."""
    if not raw:
        return None, ""
    try:
        price = float(raw.replace(",", "").strip())
    except ValueError:
        price = 0.0
    if isfinite(price) and 0 < price < 1e12:
        return price, ""
    return None, f"{raw[:40]!r} is not a price: a price is a number above 0."


def draft_at(typed: str, condition: str, price: float | None, now: float | None) -> Draft:
    """A draft of a single condition. ``above`` a price that is under the current one becomes ``below``."""
    if condition == "above" and price is not None and now is not None and price < now:
        condition = "below"
    part = {"type": condition}
    return Draft(typed, (part if price is None else {**part, "price": price},))


def draft_of(rule: NewRule, *, editing: int | None = None) -> Draft:
    """The draft of an existing rule. Raises CoinwatchError if the form cannot show it."""
    condition = rule.condition
    parts = condition.of if isinstance(condition, Group) else (condition,)
    if any(isinstance(part, Group) for part in parts):
        raise CoinwatchError("its conditions are nested, which this form cannot show")
    return Draft(
        typed=f"{rule.exchange}:{rule.symbol}" if rule.exchange else str(rule.symbol),
        parts=tuple(fields_of(part) for part in parts),
        join="any" if isinstance(condition, AnyOf) else "all",
        terms=terms_fields(rule.terms),
        note=rule.note or "",
        editing=editing,
    )


def shown_terms(parts: Sequence[Values], repeat: str, exchanges: int) -> tuple[Field, ...]:
    """The terms that matter for these conditions on a pair that is watched on so many exchanges."""
    hidden: set[str] = set()
    for part in parts:
        declared = CONDITIONS[part["type"]]
        if not can_hold(part):
            hidden |= {"holds_for", "confirmed_on"}
        if len(parts) == 1:
            hidden.update(declared.meaningless_terms)
            if declared.scope is not Scope.MARKET or part.get("source") == "average":
                hidden.add("confirmed_on")
    if exchanges < 2:
        hidden.add("confirmed_on")
    values = {"repeat": repeat}
    return tuple(
        term
        for term in (*(REPEATING if repeat != Repeat.ONCE else ()), *MORE)
        if term.name not in hidden and term.matters(values)
    )


def check(
    typed: str,
    parts: Sequence[Values],
    join: str,
    terms: Values,
    note: str,
    known: Collection[Market],
    now_us: int,
) -> Checked:
    """The rule of a filled-in form, or its problems.

    Args:
        typed: the symbol or market.
        parts: the conditions, as JSON.
        join: ``all`` or ``any`` of the conditions.
        terms: the terms, as JSON.
        note: the note.
        known: the markets to choose from.
        now_us: now, for an expiry that is given as a duration.
    """
    faults: dict[str, str] = {}
    symbol, exchange = NO_MARKET, None
    try:
        if needs_market(parts):
            symbol, exchange = resolve(typed, known)
        else:
            typed = str(NO_MARKET)
    except CoinwatchError as error:
        message = str(error)
        faults["symbol"] = f"{message[:1].upper()}{message[1:]}{'' if message.endswith('?') else '.'}"
    conditions = [_condition(number, part, faults) for number, part in enumerate(parts)]
    valid = [condition for condition in conditions if condition is not None]
    condition = _joined(valid, join) if len(valid) == len(parts) else None
    read = _terms(terms, condition, now_us, faults) if condition is not None else None
    note = " ".join(note.split())
    if len(note) > MAX_NOTE_LENGTH:
        faults["note"] = f"At most {MAX_NOTE_LENGTH} characters; this has {len(note)}."
    if faults or condition is None or read is None:
        return Checked(None, faults)
    rule = NewRule(
        symbol=symbol,
        exchange=exchange,
        condition=condition,
        terms=read,
        typed=typed,
        note=note or None,
        client=CLIENT,
    )
    return Checked(rule, {})


def needs_market(parts: Iterable[Values]) -> bool:
    """Whether any of these conditions concerns a pair or a market."""
    return any(CONDITIONS[part["type"]].scope is not Scope.NOTHING for part in parts)


def sentence(rule: NewRule) -> str:
    """``BTC-USDT at or above 70,000.00``, with the exchange if the rule names one."""
    phrase = rule.condition.phrase()
    if rule.symbol == NO_MARKET:
        return f"{phrase[:1].upper()}{phrase[1:]}"
    where = f" on {rule.exchange}" if rule.exchange else ""
    if not isinstance(rule.condition, Above | Below):
        return f"{rule.symbol}{where} {phrase}"
    side = "at or above" if isinstance(rule.condition, Above) else "at or below"
    return f"{rule.symbol}{where} {side} {formats.price(rule.condition.price)}"


def price_levels(rule: NewRule) -> tuple[float, ...]:
    """The prices that the conditions of a rule name."""
    parts = rule.condition.of if isinstance(rule.condition, Group) else (rule.condition,)
    return tuple(price for part in parts if isinstance(price := getattr(part, "price", None), float))


def _condition(number: int, part: Values, faults: dict[str, str]) -> Condition | None:
    earlier = len(faults)
    fields = [field for field in CONDITIONS[part["type"]].fields if field.matters(part)]
    sent = {"type": part["type"]} | _filled_in(fields, part, faults, f"{number}.")
    condition = None
    for _ in range(len(fields) + 1):  # a bad value is replaced by a valid one, to find the next bad value
        try:
            condition = read_condition(sent)
            break
        except InvalidField as error:
            name = error.code.removeprefix("bad_")
            faults[_place(error, fields, f"{number}.")] = _fault(error)
            if name not in sent:
                break
            sent[name] = next((field.fitting for field in fields if field.name == name), None)
    return condition if len(faults) == earlier else None


def _joined(parts: Sequence[Condition], join: str) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return AnyOf(of=tuple(parts)) if join == "any" else All(of=tuple(parts))


def _terms(terms: Values, condition: Condition, now_us: int, faults: dict[str, str]) -> Terms | None:
    earlier = len(faults)
    repeat = terms.get("repeat", Repeat.ONCE.value)
    fields = [field for field in (*REPEATING, *MORE) if field.name in terms]
    sent = {"repeat": repeat} | _filled_in(fields, terms, faults, "")
    if quiet := terms.get(QUIET):
        sent[QUIET] = quiet
        if not quiet.get("from") or not quiet.get("to"):
            faults[QUIET] = "From and to are required."
        elif quiet["from"] == quiet["to"]:
            faults[QUIET] = "From and to are the same: snooze the alert instead."
    if len(faults) > earlier:
        return None
    try:
        return read_terms(sent, condition, now_us)
    except InvalidField as error:
        faults[_place(error, [REPEAT, *fields], "", QUIET)] = _fault(error)
        return None


def _filled_in(fields: Iterable[Field], values: Values, faults: dict[str, str], place: str) -> dict[str, Any]:
    """The filled-in values as JSON; what is missing or out of bounds is added to ``faults``."""
    filled: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name)
        if isinstance(value, str):
            value = value.strip()
        if value in (None, "", [], ()):
            if not field.optional and field.kind is not Kind.CHOICE:
                faults[place + field.name] = REQUIRED
                filled[field.name] = field.fitting
            continue
        if field.kind is Kind.EXCHANGES:
            value = list(value)
        if isinstance(value, int | float) and field.low is not None and field.high is not None:
            if not field.low <= value <= field.high:
                faults[place + field.name] = f"Must be from {field.low:g} to {field.high:g}."
                value = field.fitting
            if field.optional and value == field.low:
                continue
        filled[field.name] = value
    return filled


def _place(error: InvalidField, fields: Iterable[Field], place: str, *others: str) -> str:
    """The field of ``error``; the condition as a whole if the error has none."""
    name = error.code.removeprefix("bad_")
    if name in {field.name for field in fields} or name in others:
        return place + name
    return place.rstrip(".") or "terms"


def _fault(error: InvalidField) -> str:
    return f"Must be {error.hint}."
