"""From what a person fills in to an alert rule, and back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from app.dashboard.alerts.fields import CONDITIONS, MORE, QUIET, REPEAT, REPEATING, Field, Kind, can_hold
from coinwatch import formats
from coinwatch.alerts import NO_MARKET, Above, All, Below, Condition, NewRule, Repeat, Terms, words
from coinwatch.alerts import Any as AnyOf
from coinwatch.alerts.condition_parser import (
    MAX_PARTS,
    InvalidField,
    fields_of,
    read_condition,
    read_terms,
    terms_fields,
)
from coinwatch.errors import CoinwatchError, UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import parse_market, parse_symbol

CLIENT = "dashboard"
"""The named client that owns the rules made on the dashboard."""

LONGEST_NOTE = 200
MOST_PARTS = MAX_PARTS
NEEDED = "Needed."
NO_MARKET_TYPES = ("fear_greed", "job_failed")
"""Conditions on no market at all."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """What the form begins with: nothing yet, an address, or a rule there is."""

    typed: str
    parts: tuple[Values, ...]
    """Conditions as JSON, at least one."""
    join: str = "all"
    terms: Values = field(default_factory=dict)
    note: str = ""
    editing: int | None = None
    """The rule that is replaced by what is filled in."""


@dataclass(frozen=True)
class Checked:
    """A rule, or what is wrong, by the field: ``0.price`` is of the first condition, ``cooldown`` a term."""

    rule: NewRule | None
    faults: Mapping[str, str]


def resolve(typed: str, known: Collection[Market]) -> tuple[Symbol, str | None]:
    """The pair, and the exchange when one is named, that a person means. Raises UnknownSymbol."""
    symbols = sorted({market.symbol for market in known})
    if ":" not in typed:
        return parse_symbol(typed, symbols), None
    market = parse_market(typed, sorted({market.exchange for market in known}), symbols)
    if market not in known:
        others = [one for one in known if one.symbol == market.symbol]
        raise UnknownSymbol(
            typed, f"{market.exchange} does not trade it here", tuple(map(str, sorted(others)))
        )
    return market.symbol, market.exchange


def price_from(raw: str | None) -> tuple[float | None, str]:
    """The price in an address, which anyone may edit, and a word when it is none."""
    if not raw:
        return None, ""
    try:
        price = float(raw.replace(",", "").strip())
    except ValueError:
        price = 0.0
    if isfinite(price) and 0 < price < 1e12:
        return price, ""
    return None, f"{raw[:40]!r} is no price: a price is a number above 0."


def draft_at(typed: str, condition: str, price: float | None, now: float | None) -> Draft:
    """A draft of a single condition; a price below that of ``now`` is waited for from above."""
    if condition == "above" and price is not None and now is not None and price < now:
        condition = "below"
    part = {"type": condition}
    return Draft(typed, (part if price is None else {**part, "price": price},))


def draft_of(rule: NewRule, *, editing: int | None = None) -> Draft:
    """A draft that says what ``rule`` says. Raises CoinwatchError where the form has no place for it."""
    condition = rule.condition
    parts = condition.of if isinstance(condition, All | AnyOf) else (condition,)
    if any(isinstance(part, All | AnyOf) for part in parts):
        raise CoinwatchError("its conditions are nested, for which this form has no place")
    told = tuple(fields_of(part) for part in parts)
    if unknown := [one["type"] for one in told if one["type"] not in CONDITIONS]:
        raise CoinwatchError(f"this form has no place for {unknown[0]}")
    return Draft(
        typed=f"{rule.exchange}:{rule.symbol}" if rule.exchange else str(rule.symbol),
        parts=told,
        join="any" if isinstance(condition, AnyOf) else "all",
        terms=terms_fields(rule.terms),
        note=rule.note or "",
        editing=editing,
    )


def shown_terms(parts: Sequence[Values], repeat: str, exchanges: int) -> tuple[Field, ...]:
    """The terms that matter beside these conditions, of a pair looked at on so many exchanges."""
    pointless: set[str] = set()
    for part in parts:
        pointless |= set(CONDITIONS[part["type"]].unmatched) if len(parts) == 1 else set()
        if not can_hold(part):
            pointless |= {"holds_for", "confirmed_on"}
        if part.get("source") == "average" and len(parts) == 1:
            pointless.add("confirmed_on")
    if exchanges < 2:
        pointless.add("confirmed_on")
    asked = {"repeat": repeat}
    return tuple(
        one
        for one in (*(REPEATING if repeat != Repeat.ONCE else ()), *MORE)
        if one.name not in pointless and one.matters(asked)
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
    """The rule that is asked for, or what is wrong with it in words, by the field."""
    faults: dict[str, str] = {}
    symbol, exchange = NO_MARKET, None
    try:
        if needs_market(parts):
            symbol, exchange = resolve(typed, known)
        else:
            typed = str(NO_MARKET)
    except CoinwatchError as error:
        said = str(error)
        faults["symbol"] = f"{said[:1].upper()}{said[1:]}{'' if said.endswith('?') else '.'}"
    conditions = [_condition(number, part, faults) for number, part in enumerate(parts)]
    met = [one for one in conditions if one is not None]
    condition = _joined(met, join) if len(met) == len(parts) else None
    read = _terms(terms, condition, now_us, faults) if condition is not None else None
    note = " ".join(note.split())
    if len(note) > LONGEST_NOTE:
        faults["note"] = f"At most {LONGEST_NOTE} letters; this has {len(note)}."
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
    """Whether these conditions are on a pair or a market."""
    return any(part["type"] not in NO_MARKET_TYPES for part in parts)


def sentence(rule: NewRule) -> str:
    """``BTC-USDT at or above 70,000.00``, with the exchange when it matters."""
    if rule.symbol == NO_MARKET:
        said = words(rule.condition)
        return f"{said[:1].upper()}{said[1:]}"
    where = f" on {rule.exchange}" if rule.exchange else ""
    if not isinstance(rule.condition, Above | Below):
        return f"{rule.symbol}{where} {words(rule.condition)}"
    side = "at or above" if isinstance(rule.condition, Above) else "at or below"
    return f"{rule.symbol}{where} {side} {formats.price(rule.condition.price)}"


def price_levels(rule: NewRule) -> tuple[float, ...]:
    """The prices a rule waits for, as far as it names some."""
    parts = rule.condition.of if isinstance(rule.condition, All | AnyOf) else (rule.condition,)
    return tuple(price for part in parts if isinstance(price := getattr(part, "price", None), float))


def _condition(number: int, part: Values, faults: dict[str, str]) -> Condition | None:
    found = len(faults)
    fields = [one for one in CONDITIONS[part["type"]].fields if one.matters(part)]
    sent = {"type": part["type"]} | _filled_in(fields, part, faults, f"{number}.")
    condition = None
    for _ in range(len(fields) + 1):  # with what is right in place of what is wrong, all of that is found
        try:
            condition = read_condition(sent)
            break
        except InvalidField as error:
            name = error.code.removeprefix("bad_")
            faults[_place(error, fields, f"{number}.")] = _said(error)
            if name not in sent:
                break
            sent[name] = next((one.fitting for one in fields if one.name == name), None)
    return condition if len(faults) == found else None


def _joined(parts: Sequence[Condition], join: str) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return AnyOf(of=tuple(parts)) if join == "any" else All(of=tuple(parts))


def _terms(terms: Values, condition: Condition, now_us: int, faults: dict[str, str]) -> Terms | None:
    found = len(faults)
    repeat = terms.get("repeat", Repeat.ONCE.value)
    fields = [one for one in (*REPEATING, *MORE) if one.name in terms]
    sent = {"repeat": repeat} | _filled_in(fields, terms, faults, "")
    if quiet := terms.get(QUIET):
        sent[QUIET] = quiet
        if not quiet.get("from") or not quiet.get("to"):
            faults[QUIET] = "From and to are needed."
        elif quiet["from"] == quiet["to"]:
            faults[QUIET] = "From and to are the same: snooze the alert instead."
    if len(faults) > found:
        return None
    try:
        return read_terms(sent, condition, now_us)
    except InvalidField as error:
        faults[_place(error, [REPEAT, *fields], "", QUIET)] = _said(error)
        return None


def _filled_in(fields: Iterable[Field], values: Values, faults: dict[str, str], place: str) -> dict[str, Any]:
    """What is filled in, as JSON; what is missing or out of bounds goes to ``faults``."""
    filled: dict[str, Any] = {}
    for one in fields:
        value = values.get(one.name)
        if isinstance(value, str):
            value = value.strip()
        if value in (None, "", [], ()):
            if not one.optional and one.kind is not Kind.CHOICE:
                faults[place + one.name] = NEEDED
                filled[one.name] = one.fitting
            continue
        if one.kind is Kind.EXCHANGES:
            value = list(value)
        if isinstance(value, int | float) and one.low is not None and one.high is not None:
            if not one.low <= value <= one.high:
                faults[place + one.name] = f"Needs a number from {one.low:g} to {one.high:g}."
                value = one.fitting
            if one.optional and value == one.low:
                continue
        filled[one.name] = value
    return filled


def _place(error: InvalidField, fields: Iterable[Field], place: str, *others: str) -> str:
    """The field that ``error`` is about; the condition as a whole where it is about none."""
    name = error.code.removeprefix("bad_")
    if name in {one.name for one in fields} or name in others:
        return place + name
    return place.rstrip(".") or "terms"


def _said(error: InvalidField) -> str:
    return f"Needs {error.hint}."
