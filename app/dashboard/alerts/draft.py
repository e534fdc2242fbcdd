"""What is filled in at the moment: the widgets' values of the alert form, in the viewer's session.

A draft is numbered, and its number is part of the widgets' keys: another draft begins with its own
values, whatever was typed into the one before.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import time
from typing import Any

import streamlit as st

from app.dashboard.alerts import fields, form
from app.dashboard.alerts.fields import CONDITIONS, MORE, QUIET, REPEATING, Field, Kind
from app.dashboard.alerts.form import Checked, Draft, Values
from app.dashboard.ui import page
from coinwatch import formats
from coinwatch.alerts import NewRule
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market
from coinwatch.times import now_us

SYMBOL = "symbol"
NOTE = "note"
JOIN = "join"
TYPE = "type"
QUIET_FIELDS = ("from", "to", "tz")

_NUMBER = "alert_draft_number"
_DRAFT = "alert_draft"
_PARTS = "alert_draft_parts"
_TRIED = "alert_draft_tried"


def begin(draft: Draft) -> None:
    """Fill in ``draft`` in place of what there is."""
    state = st.session_state
    state[_NUMBER] = state.get(_NUMBER, 0) + 1
    state[_DRAFT] = draft
    state[_PARTS] = list(range(len(draft.parts)))
    state[_TRIED] = False
    state[key(SYMBOL)] = draft.typed
    state[key(NOTE)] = draft.note
    state[key(JOIN)] = draft.join


def current() -> Draft:
    """What the form began with."""
    draft: Draft = st.session_state[_DRAFT]
    return draft


def is_begun() -> bool:
    return _DRAFT in st.session_state


def key(*names: object) -> str:
    """The key of a widget of the current draft."""
    return " ".join(["alert", str(st.session_state[_NUMBER]), *map(str, names)])


def field_key(place: int | None, one: Field) -> str:
    """The key of a field of a condition, or of the terms. A price belongs to its pair."""
    if place is None:
        return key("terms", one.name)
    if one.kind is Kind.PRICE and one.default is None:
        return key(place, one.name, typed())
    return key(place, st.session_state[key(place, TYPE)], one.name)


def parts() -> list[int]:
    """The places of the conditions, in order."""
    places: list[int] = st.session_state[_PARTS]
    return places


def add_part() -> None:
    places = parts()
    if len(places) < form.MOST_PARTS:
        st.session_state[_PARTS] = [*places, max(places) + 1]


def remove_part(place: int) -> None:
    st.session_state[_PARTS] = [one for one in parts() if one != place]


def typed() -> str:
    """The symbol or market as it stands in the form."""
    return str(st.session_state.get(key(SYMBOL)) or current().typed)


def prepare(now: float | None) -> None:
    """Give every widget that may be drawn its first value; ``now`` is the price of the pair."""
    state, draft = st.session_state, current()
    own_pair = typed() == draft.typed
    for place in parts():
        began: Values = draft.parts[place] if place < len(draft.parts) else {TYPE: "above"}
        state.setdefault(key(place, TYPE), began[TYPE])
        is_own = state[key(place, TYPE)] == began[TYPE]
        for one in CONDITIONS[state[key(place, TYPE)]].fields:
            first: Any = began.get(one.name, one.default) if is_own else one.default
            if one.kind is Kind.PRICE and one.default is None:
                picked: Any = began.get(one.name) if own_pair else None
                price = picked or now
                first = None if price is None else round(price, formats.price_decimals(price))
            state.setdefault(field_key(place, one), first)
    for one in (fields.REPEAT, *REPEATING, *MORE):
        state.setdefault(field_key(None, one), draft.terms.get(one.name, one.default))
    quiet = draft.terms.get(QUIET, {})
    state.setdefault(key(QUIET), bool(quiet))
    zone = str(page.zone())
    for name, first in zip(QUIET_FIELDS, ("22:00", "07:00", zone), strict=True):
        value = quiet.get(name, first)
        state.setdefault(key(QUIET, name), value if name == "tz" else time.fromisoformat(value))


def part_values(place: int) -> dict[str, Any]:
    """A condition as it stands in the form, as JSON."""
    state = st.session_state
    kind = state[key(place, TYPE)]
    return {TYPE: kind} | {one.name: state.get(field_key(place, one)) for one in CONDITIONS[kind].fields}


def needs_market() -> bool:
    """Whether what is filled in is on a pair or a market."""
    return form.needs_market(part_values(place) for place in parts())


def repeat() -> str:
    return str(st.session_state[field_key(None, fields.REPEAT)] or "once")


def shown_terms(exchanges: int) -> tuple[Field, ...]:
    return form.shown_terms([part_values(place) for place in parts()], repeat(), exchanges)


def check(known: Collection[Market]) -> Checked:
    """The rule that is filled in, or what is wrong with it."""
    state = st.session_state
    terms = {"repeat": repeat()} | {
        one.name: state.get(field_key(None, one)) for one in shown_terms(exchange_count(known))
    }
    if state[key(QUIET)]:
        start, end, zone = (state[key(QUIET, name)] for name in QUIET_FIELDS)
        terms[QUIET] = {
            "from": f"{start:%H:%M}" if start else None,
            "to": f"{end:%H:%M}" if end else None,
            "tz": zone,
        }
    return form.check(
        typed(),
        [part_values(place) for place in parts()],
        state[key(JOIN)] or "all",
        terms,
        state[key(NOTE)] or "",
        known,
        now_us(),
    )


def exchange_count(known: Collection[Market]) -> int:
    """On how many exchanges the pair is looked at."""
    try:
        symbol, exchange = form.resolve(typed(), known)
    except CoinwatchError:
        return 0
    return 1 if exchange else sum(market.symbol == symbol for market in known)


def tried(known: Collection[Market]) -> NewRule | None:
    """The rule that is filled in; None where something is wrong, which is said from now on."""
    rule = check(known).rule
    st.session_state[_TRIED] = rule is None
    return rule


def fault(faults: dict[str, str], place: int | None, name: str) -> str:
    """What is said at a field; that something is missing is not, before somebody wanted to go on."""
    at = name if place is None else f"{parts().index(place)}.{name}" if name else str(parts().index(place))
    said = faults.get(at, "")
    return "" if said == form.NEEDED and not st.session_state[_TRIED] else said
