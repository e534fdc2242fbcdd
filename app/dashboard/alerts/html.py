"""The HTML of the Alerts page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from app.alerts.evaluation.coverage import Basis
from app.dashboard.alerts.lookback import Fired, Lookback
from app.dashboard.alerts.states import State
from app.dashboard.ui import html
from app.dashboard.ui.templates import render
from coinwatch.alerts import Alert
from warehouse.alerts import deliveries, edits
from warehouse.alerts.reads import EventDelivery, OutletRow

_BASES = {
    Basis.TRADES: "By trades",
    Basis.CANDLES: "By candles",
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


def notes(text: str) -> Markup:
    """A line of explanation."""
    return render("alerts/notes.html.j2", text=text)


def fault(text: str) -> Markup:
    """The problem of the field above."""
    return render("alerts/fault.html.j2", text=text)


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


def lookback(sentence: str, found: Lookback, zone: tzinfo) -> str:
    """How often a rule would have fired, and what that is known from."""
    times = "never" if not found.count else "once" if found.count == 1 else f"{found.count:,} times"
    parts = [f'<p class="cw-sum"><b>{escape(sentence)}</b></p><div class="cw-quote"><b>{times}</b>']
    if found.fired:
        if found.count > 1:
            parts.append(f"{_moment('First', found.first_us, zone)}")
        parts.append(f"{_moment('Last', found.fired[-1].ts_us, zone)}")
    parts.append("</div>")
    said = [f"Read: {found.trades:,} trades, {found.candles:,} candles of a minute."]
    for basis, words in _BASES.items():
        spans = [span.window for span in found.coverage if span.by is basis]
        if spans:
            start, end = (
                html.time(ts_us, zone, seconds=False) for ts_us in (spans[0].start_us, spans[-1].end_us)
            )
            parts_words = f" in {len(spans)} parts" if len(spans) > 1 else ""
            said.append(f"{words}: {start} to {end}{parts_words}.")
    if any(span.by is Basis.CANDLES for span in found.coverage):
        said.append("Within a candle the worst case is assumed: the order of low and high that fires.")
    if found.paused:
        said.append("It would have been paused for firing too often: 15 times in 3 minutes.")
    return f'{"".join(parts)}<p class="cw-notes">{" ".join(said)}</p>'


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


def _moment(name: str, ts_us: int, zone: tzinfo) -> str:
    return f'<span class="cw-fact"><span class="muted">{name}</span> {html.time(ts_us, zone)}</span>'
