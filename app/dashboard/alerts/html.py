"""The HTML of the Alerts page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import NamedTuple

from markupsafe import Markup

from app.alerts.evaluation.coverage import Basis
from app.dashboard.alerts.lookback import Fired, Lookback
from app.dashboard.alerts.states import State
from app.dashboard.ui.templates import render
from coinwatch.alerts import Alert
from warehouse.alerts import deliveries, edits
from warehouse.alerts.reads import EventDelivery, OutletRow

_BASES = {
    Basis.TRADES: "Trades",
    Basis.CANDLES: "One-minute candles",
    Basis.NOTHING: "Nothing is stored, so it may have fired there",
}
MOST_FIRINGS = 200
"""The last ones are listed; earlier ones are only counted."""

_PILLS = {
    State.ARMED: "ok",
    State.WAITING: "",
    State.SNOOZED: "warn",
    State.PAUSED: "warn",
    State.FIRED: "",
    State.EXPIRED: "",
}
_DELIVERY_PILLS = {
    deliveries.State.DELIVERED: "ok",
    deliveries.State.WAITING: "warn",
    deliveries.State.DEAD: "bad",
}


class _Pill(NamedTuple):
    words: str
    kind: str
    tip: str


def fault(text: str) -> Markup:
    """The problem of the field above."""
    return render("alerts/fault.html.j2", text=text)


def progress(text: str) -> Markup:
    """What is being done, while the viewer waits."""
    return render("alerts/progress.html.j2", text=text)


def summary(sentence: str, terms: Sequence[str]) -> Markup:
    """A rule in words: its condition and terms."""
    return render("alerts/summary.html.j2", sentence=sentence, terms=terms)


def rule(sentence: str, state: State, why: str, terms: Sequence[str], note: str) -> Markup:
    """A rule with its state."""
    return render(
        "alerts/rule.html.j2",
        sentence=sentence,
        state=state,
        kind=_PILLS[state],
        why=why,
        terms=" · ".join(terms),
        note=note,
    )


def history(
    events: Sequence[Alert],
    deliveries_of: Mapping[int, Sequence[EventDelivery]],
    zone: tzinfo,
    *,
    outlets: bool,
) -> Markup:
    """The alerts that have fired.

    Args:
        events: Newest first.
        deliveries_of: Deliveries by event.
        zone: The viewer's time zone.
        outlets: Whether to show the deliveries.
    """
    rows = [
        {
            "event": event,
            "market": f"{event.exchange}:{event.symbol}" if event.exchange else event.symbol,
            "marks": _marks(event),
            "deliveries": [_delivery(delivery) for delivery in deliveries_of.get(event.event_id, ())],
        }
        for event in events
    ]
    return render("alerts/history.html.j2", rows=rows, zone=zone, has_outlets=outlets)


def outlets(rows: Sequence[OutletRow], zone: tzinfo) -> Markup:
    """The outlets with their deliveries."""
    return render("alerts/outlets.html.j2", outlets=rows, zone=zone)


def lookback(sentence: str, result: Lookback, zone: tzinfo) -> Markup:
    """How often a rule would have fired, and the data that this is based on."""
    spans = [
        (words, [span.window for span in result.coverage if span.by is basis])
        for basis, words in _BASES.items()
    ]
    return render(
        "alerts/lookback.html.j2",
        sentence=sentence,
        result=result,
        spans=[(words, windows) for words, windows in spans if windows],
        has_candles=any(span.by is Basis.CANDLES for span in result.coverage),
        zone=zone,
    )


def firings(fired: Sequence[Fired], zone: tzinfo) -> Markup:
    """The times at which a rule would have fired, newest first."""
    return render("alerts/firings.html.j2", firings=list(reversed(fired[-MOST_FIRINGS:])), zone=zone)


def _marks(event: Alert) -> list[_Pill]:
    marks = (
        (event.message.startswith(edits.TEST), _Pill("test", "", "A test, sent manually.")),
        (event.late, _Pill("late", "warn", "Triggered by a trade that was recovered later.")),
        (event.degraded, _Pill("degraded", "warn", "Fired during an open stream gap.")),
        (event.paused, _Pill("paused", "warn", "The rule fired too often and was paused.")),
    )
    return [pill for applies, pill in marks if applies]


def _delivery(delivery: EventDelivery) -> _Pill:
    attempts = f"{delivery.attempts} attempts" if delivery.attempts else "in progress"
    words = {
        deliveries.State.DELIVERED: "delivered",
        deliveries.State.WAITING: attempts,
        deliveries.State.DEAD: "given up",
    }[delivery.state]
    status = f"HTTP {delivery.http_status}" if delivery.http_status else ""
    tip = ", ".join(part for part in (status, delivery.error or "") if part)
    return _Pill(f"{delivery.kind} {delivery.outlet_id}: {words}", _DELIVERY_PILLS[delivery.state], tip)
