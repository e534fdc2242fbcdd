"""The HTML of the Alerts page. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from html import escape

from app.dashboard.alerts.lookback import Fired, Lookback
from app.dashboard.alerts.states import State
from app.dashboard.ui import html
from coinwatch import formats
from coinwatch.alerts import Alert
from coinwatch.times import from_datetime
from warehouse.alerts import deliveries, edits
from warehouse.alerts.reads import EventDelivery, OutletRow

MOST_FIRINGS = 200
"""More are counted, but not listed."""

_PILLS = {
    State.ARMED: "ok",
    State.WAITING: "",
    State.SNOOZED: "warn",
    State.PAUSED: "warn",
    State.FIRED: "",
    State.EXPIRED: "",
}
_DELIVERED = {
    deliveries.State.DELIVERED: "ok",
    deliveries.State.WAITING: "warn",
    deliveries.State.DEAD: "bad",
}


def notes(words: str) -> str:
    """What is said below something, in passing."""
    return f'<p class="cw-notes">{escape(words)}</p>'


def fault(words: str) -> str:
    """What is wrong with the field above."""
    return f'<p class="cw-fault" role="alert">{escape(words)}</p>'


def summary(sentence: str, terms: Sequence[str]) -> str:
    """What the form comes to."""
    told = "".join(f" · {escape(one)}" for one in terms)
    return f'<p class="cw-sum"><b>{escape(sentence)}</b>{told}</p>'


def rule(sentence: str, state: State, why: str, terms: Sequence[str], note: str) -> str:
    """One alert rule."""
    parts = [
        f'<div class="cw-rule"><span class="what">{escape(sentence)}</span>',
        f'<span class="cw-pill {_PILLS[state]}">{state}</span>',
    ]
    if why:
        parts.append(f'<span class="muted">{escape(why)}</span>')
    if terms:
        parts.append(f'<span class="note">{escape(" · ".join(terms))}</span>')
    if note:
        parts.append(f'<span class="note">“{escape(note)}”</span>')
    return "".join(parts) + "</div>"


def history(
    events: Sequence[Alert], told: Mapping[int, Sequence[EventDelivery]], zone: tzinfo, *, outlets: bool
) -> str:
    """What has fired; with ``outlets`` also how each event went there."""
    rows = "".join(_event(event, told.get(event.event_id, ()), zone, outlets=outlets) for event in events)
    last = '<th class="text">Delivered</th>' if outlets else ""
    return (
        '<div class="cw-scroll" tabindex="0"><table class="cw-table"><thead><tr><th class="time">Time</th>'
        '<th class="time">Market</th><th class="number">Price</th><th class="text">Message</th>'
        f"{last}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def outlets(rows: Sequence[OutletRow], zone: tzinfo) -> str:
    """Where alerts go besides the websocket, and how that goes."""
    body = "".join(_outlet(one, zone) for one in rows)
    return (
        '<div class="cw-scroll" tabindex="0"><table class="cw-table"><thead><tr><th class="name">Outlet</th>'
        '<th class="name">To</th><th class="name">State</th><th class="number">Delivered</th>'
        '<th class="number">Waiting</th><th class="number">Given up</th><th class="time">Last</th>'
        f'<th class="text">Trouble</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def lookback(sentence: str, found: Lookback, zone: tzinfo) -> str:
    """How often a rule would have fired, and what that is known from."""
    times = "never" if not found.count else "once" if found.count == 1 else f"{found.count:,} times"
    parts = [f'<p class="cw-sum"><b>{escape(sentence)}</b></p><div class="cw-quote"><b>{times}</b>']
    if found.fired:
        if found.count > 1:
            parts.append(f"{_moment('First', found.first_us, zone)}")
        parts.append(f"{_moment('Last', found.fired[-1].ts_us, zone)}")
    parts.append("</div>")
    read = f"{found.trades:,} trades"
    if found.candles:
        since = html.time(found.trades_since_us, zone, seconds=False)
        read = f"{found.candles:,} candles of {found.interval}, and {read} since {since}"
    said = [f"Read: {read}."]
    if found.candles:
        said.append("Within a candle it is not known whether the high or the low came first.")
    if not found.is_complete:
        said.append("That is not all there is: it was too much.")
    if found.paused:
        said.append("It would have been paused for firing too often: 15 times in 3 minutes.")
    return f'{"".join(parts)}<p class="cw-notes">{" ".join(said)}</p>'


def firings(found: Sequence[Fired], zone: tzinfo) -> str:
    """When a rule would have fired, the newest first."""
    rows = "".join(
        f'<tr><td class="time">{html.time(one.ts_us, zone)}</td>'
        f'<td class="time">{escape(one.exchange or "average")}</td>'
        f'<td class="number">{formats.price(one.price)}</td>'
        f'<td class="number">{"" if one.value is None else f"{one.value:,.4g}"}</td></tr>'
        for one in reversed(found[-MOST_FIRINGS:])
    )
    return (
        '<div class="cw-scroll cw-tall" tabindex="0"><table class="cw-table"><thead><tr>'
        '<th class="time">Time</th><th class="time">On</th><th class="number">Price</th>'
        f'<th class="number">Measured</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _event(event: Alert, told: Sequence[EventDelivery], zone: tzinfo, *, outlets: bool) -> str:
    market = f"{event.exchange}:{event.symbol}" if event.exchange else event.symbol
    marks = [
        (event.message.startswith(edits.TEST), "test", "", "Sent by hand: nothing has happened."),
        (event.late, "late", "warn", "By a trade that was recovered after its time."),
        (event.degraded, "degraded", "warn", "While an interruption of the stream was not filled."),
        (event.paused, "paused", "warn", "The rule fired too often and was paused."),
    ]
    pills = "".join(f" {_pill(word, kind, tip)}" for holds, word, kind, tip in marks if holds)
    cells = [
        f'<td class="time">{html.time(event.ts_us, zone)}</td>',
        f'<td class="time">{escape(market)}</td>',
        f'<td class="number">{formats.price(event.price)}</td>',
        f'<td class="text">{escape(event.message)}{pills}</td>',
    ]
    if outlets:
        went = " ".join(_delivery(one) for one in told)
        cells.append(f'<td class="text">{went or formats.UNKNOWN}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _delivery(one: EventDelivery) -> str:
    words = {
        deliveries.State.DELIVERED: "delivered",
        deliveries.State.WAITING: f"tried {one.attempts} times" if one.attempts else "on its way",
        deliveries.State.DEAD: "given up",
    }[one.state]
    status = f"HTTP {one.http_status}" if one.http_status else ""
    tip = ", ".join(part for part in (status, one.error or "") if part)
    return _pill(f"{one.kind} {one.outlet_id}: {words}", _DELIVERED[one.state], tip)


def _outlet(one: OutletRow, zone: tzinfo) -> str:
    disabled = one.disabled_why is not None
    state = _pill("disabled" if disabled else "active", "bad" if disabled else "ok", one.disabled_why or "")
    last = html.time(from_datetime(one.last_at), zone) if one.last_at else formats.UNKNOWN
    trouble = one.disabled_why or one.last_error or ""
    return (
        f'<tr><td class="name">{one.kind} {one.id}</td><td class="name">{escape(one.to)}</td>'
        f'<td class="name">{state}</td><td class="number">{one.delivered:,}</td>'
        f'<td class="number">{one.waiting:,}</td><td class="number">{one.dead:,}</td>'
        f'<td class="time">{last}</td><td class="text">{escape(trouble)}</td></tr>'
    )


def _pill(words: str, kind: str, tip: str) -> str:
    title = f' title="{escape(tip)}"' if tip else ""
    return f'<span class="cw-pill {kind}"{title}>{escape(words)}</span>'


def _moment(name: str, ts_us: int, zone: tzinfo) -> str:
    return f'<span class="cw-fact"><span class="muted">{name}</span> {html.time(ts_us, zone)}</span>'
