"""The values of the alert form's widgets, in the session of the viewer.

A draft has a number, which is part of the keys of its widgets: a new draft starts with its own values,
whatever was typed into the one before.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import time
from typing import Any

import streamlit as st

from app.dashboard.alerts import fields, form
from app.dashboard.alerts.fields import CONDITIONS, MORE, QUIET, REPEATING
from app.dashboard.alerts.form import Checked, Draft, Values
from app.dashboard.ui import viewer
from coinwatch import formats
from coinwatch.alerts import NewRule
from coinwatch.alerts.conditions.fields import Field, Kind
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
    """Fill in ``draft``, in place of the current one."""
    state = st.session_state
    state[_NUMBER] = state.get(_NUMBER, 0) + 1
    state[_DRAFT] = draft
    state[_PARTS] = list(range(len(draft.parts)))
    state[_TRIED] = False
    state[key(SYMBOL)] = draft.typed
    state[key(NOTE)] = draft.note
    state[key(JOIN)] = draft.join


def current() -> Draft:
    """The draft that the form started with."""
    draft: Draft = st.session_state[_DRAFT]
    return draft


def is_begun() -> bool:
    """Whether there is a draft."""
    return _DRAFT in st.session_state


def key(*names: object) -> str:
    """The key of a widget of the current draft."""
    return " ".join(["alert", str(st.session_state[_NUMBER]), *map(str, names)])


def field_key(place: int | None, field: Field) -> str:
    """The key of a field of a condition, or of a term (``place`` is None). A price belongs to its pair."""
    if place is None:
        return key("terms", field.name)
    if _is_market_price(field):
        return key(place, field.name, typed())
    return key(place, st.session_state[key(place, TYPE)], field.name)


def parts() -> list[int]:
    """The places of the conditions, in order."""
    places: list[int] = st.session_state[_PARTS]
    return places


def add_part() -> None:
    """Add a condition, unless there are as many as a rule can have."""
    places = parts()
    if len(places) < form.MAX_CONDITIONS:
        st.session_state[_PARTS] = [*places, max(places) + 1]


def remove_part(removed: int) -> None:
    """Remove the condition at a place."""
    st.session_state[_PARTS] = [place for place in parts() if place != removed]


def typed() -> str:
    """The symbol or market in the form."""
    return str(st.session_state.get(key(SYMBOL)) or current().typed)


def prepare(now: float | None) -> None:
    """Give every widget its first value. ``now`` is the current price of the pair."""
    state, draft = st.session_state, current()
    own_pair = typed() == draft.typed
    for place in parts():
        began: Values = draft.parts[place] if place < len(draft.parts) else {TYPE: "above"}
        state.setdefault(key(place, TYPE), began[TYPE])
        is_own = state[key(place, TYPE)] == began[TYPE]
        for field in CONDITIONS[state[key(place, TYPE)]].fields:
            first: Any = began.get(field.name, field.start) if is_own else field.start
            if _is_market_price(field):
                picked: Any = began.get(field.name) if own_pair else None
                price = picked or now
                first = None if price is None else round(price, formats.price_decimals(price))
            state.setdefault(field_key(place, field), first)
    for field in (fields.REPEAT, *REPEATING, *MORE):
        state.setdefault(field_key(None, field), draft.terms.get(field.name, field.start))
    quiet = draft.terms.get(QUIET, {})
    state.setdefault(key(QUIET), bool(quiet))
    zone = str(viewer.zone())
    for name, first in zip(QUIET_FIELDS, ("22:00", "07:00", zone), strict=True):
        value = quiet.get(name, first)
        state.setdefault(key(QUIET, name), value if name == "tz" else time.fromisoformat(value))


def part_values(place: int) -> dict[str, Any]:
    """The condition at a place, as JSON."""
    state = st.session_state
    type_name = state[key(place, TYPE)]
    return {TYPE: type_name} | {
        field.name: state.get(field_key(place, field)) for field in CONDITIONS[type_name].fields
    }


def needs_market() -> bool:
    """Whether a condition of the form concerns a pair or a market."""
    return form.needs_market(part_values(place) for place in parts())


def repeat() -> str:
    """How often the rule of the form fires."""
    return str(st.session_state[field_key(None, fields.REPEAT)] or "once")


def shown_terms(exchanges: int) -> tuple[Field, ...]:
    """The terms that matter for the conditions of the form."""
    return form.shown_terms([part_values(place) for place in parts()], repeat(), exchanges)


def check(known: Collection[Market]) -> Checked:
    """The rule of the form, or its problems."""
    state = st.session_state
    terms = {"repeat": repeat()} | {
        field.name: state.get(field_key(None, field)) for field in shown_terms(exchange_count(known))
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
    """The number of exchanges on which the pair is watched."""
    try:
        symbol, exchange = form.resolve(typed(), known)
    except CoinwatchError:
        return 0
    return 1 if exchange else sum(market.symbol == symbol for market in known)


def tried(known: Collection[Market]) -> NewRule | None:
    """The rule of the form; None if there are problems, which are shown from now on."""
    rule = check(known).rule
    st.session_state[_TRIED] = rule is None
    return rule


def fault(faults: dict[str, str], place: int | None, name: str) -> str:
    """The problem of a field. A missing value is none before the viewer has tried to save."""
    at = name if place is None else f"{parts().index(place)}.{name}" if name else str(parts().index(place))
    message = faults.get(at, "")
    return "" if message == form.REQUIRED and not st.session_state[_TRIED] else message


def _is_market_price(field: Field) -> bool:
    return field.kind is Kind.PRICE and field.start is None
