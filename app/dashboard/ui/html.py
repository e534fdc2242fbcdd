"""The HTML of what Streamlit has no widget for. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from html import escape
from urllib.parse import quote as quote_url

from app.dashboard.chart.view import ChartView
from app.dashboard.overview.view import WHOLE_DAY_US, Card, CardState, Constituent, Overview, by_kind
from app.dashboard.ui.problems import Problem
from app.dashboard.ui.trend import Trend, of_change
from coinwatch import formats
from coinwatch.records import Market
from coinwatch.times import DAY_US, to_datetime
from warehouse.candles.chart_reads import DayStats, LastTrade

ARROWS = {Trend.UP: "▲", Trend.DOWN: "▼", Trend.FLAT: ""}

_BADGES = {
    CardState.OK: "",
    CardState.DEGRADED: "degraded",
    CardState.STALE: "stale",
    CardState.EMPTY: "no data",
}


def time(ts_us: int, zone: tzinfo, *, seconds: bool = True) -> str:
    """A moment in the viewer's zone, in UTC when pointed at."""
    utc = escape(formats.moment(ts_us))
    return f'<time title="{utc}">{escape(formats.local(ts_us, zone, seconds=seconds))}</time>'


def clock(ts_us: int, zone: tzinfo) -> str:
    """A time of day in the viewer's zone, in UTC when pointed at."""
    utc, local = formats.clock(ts_us), to_datetime(ts_us).astimezone(zone)
    return f'<time title="{utc}">{utc if zone is UTC else f"{local:%H:%M:%S}"}</time>'


def wrap(*parts: str, frozen: bool = False) -> str:
    """``parts`` in the element our style sheet applies to; ``frozen`` greys live numbers."""
    return f'<div class="cw{" cw-frozen" if frozen else ""}">{"".join(parts)}</div>'


def banner(text: str) -> str:
    """Something is wrong with the data below."""
    return (
        f'<div class="cw-banner" role="status"><span class="mark">!</span><span>{escape(text)}</span></div>'
    )


def empty(title: str, *paragraphs: str) -> str:
    """Nothing to show, and what to do: text between backticks is set as a command."""
    body = "".join(f"<p>{_commands(paragraph)}</p>" for paragraph in paragraphs)
    return f'<div class="cw-empty"><h3>{escape(title)}</h3>{body}</div>'


def overview(view: Overview, now_us: int, zone: tzinfo) -> str:
    """The line of facts and the grid of cards."""
    dot = "cw-dot" if view.markets and view.live_markets == view.markets else "cw-dot off"
    facts = (
        f'<div class="cw-facts"><span><i class="{dot}"></i><b>{view.live_markets}</b> of {view.markets} '
        f'markets live</span><span><b class="rate">{view.trades_per_s:,.1f}</b> trades/s</span>'
        f"<span>last trade <b>{formats.age(view.newest_us, now_us)}</b></span>"
        f'<span class="last">{clock(now_us, zone)}</span></div>'
    )
    return facts + f'<div class="cw-grid">{"".join(card(one, now_us) for one in view.cards)}</div>'


def strip(
    rising: Sequence[Card], falling: Sequence[Card], troubles: Sequence[Problem] | None, gauge: str = ""
) -> str:
    """What moved most, and what needs somebody; None where that cannot be read.

    Always as high, so that nothing below it moves.
    """
    parts = [gauge]
    for title, cards, trend in (("Rising most", rising, Trend.UP), ("Falling most", falling, Trend.DOWN)):
        items = "".join(
            f'<a href="chart?symbol={escape(str(one.symbol))}">{escape(str(one.symbol))} '
            f'<b class="{trend}">{formats.percent(one.change)}</b></a>'
            for one in cards
        )
        items = items or '<span class="muted">none</span>'
        parts.append(f'<div class="cw-box"><span class="muted">{title}, 24 h</span>{items}</div>')
    lines = "".join(
        f'<span class="line" title="{escape(what)}"><b>{escape(where)}</b> {escape(what)}</span>'
        for where, what in by_kind(troubles or ())[:3]
    )
    if troubles:
        heading = f'Not well · <a href="data?view=errors">all {len(troubles)}</a>'
    else:
        well = '<i class="cw-dot"></i>All is well' if troubles is not None else "not known just now"
        heading, lines = "Health", f'<span class="line">{well}</span>'
    parts.append(f'<div class="cw-box wide"><span class="muted">{heading}</span>{lines}</div>')
    return f'<div class="cw-strip">{"".join(parts)}</div>'


def card(view: Card, now_us: int) -> str:
    """One symbol, linking to its chart."""
    badge = _BADGES[view.state]
    parts = [
        f'<div class="cw-head"><span class="cw-name">{escape(view.symbol.base)}'
        f"<span> / {escape(view.symbol.quote)}</span></span>",
        f'<span class="cw-badge {view.state}">{badge}</span>' if badge else "",
        "</div>",
    ]
    if view.price is None:
        parts.append('<div class="cw-nothing">no data yet</div>')
    else:
        parts += [price(view.price, view.trend, moved=view.moved), change(view.change, view.span_us)]
        parts += [_sparkline(view, now_us), _stats(view)]
    message = escape(view.message)
    parts.append(f'<p class="cw-message" title="{message}"><span>{message}</span></p>')
    chips = "".join(_chip(one) for one in view.constituents)
    parts.append(
        f'<div class="cw-foot"><span class="cw-exchanges">{chips}</span>'
        f'<span class="age">{formats.age(view.as_of_us, now_us) if view.as_of_us else ""}</span></div>'
    )
    href = f"chart?symbol={escape(str(view.symbol))}"
    return f'<a class="cw-card {view.state}" href="{href}">{"".join(parts)}</a>'


def price(value: float, trend: Trend, *, moved: bool = False) -> str:
    """A live price, with the way it went since it was last shown."""
    classes = f"cw-price {trend}{' moved' if moved else ''}"
    spoken = f' role="img" aria-label="{trend} since the last change"' if trend is not Trend.FLAT else ""
    return (
        f'<div class="{classes}"><b>{formats.price(value)}</b>'
        f'<span class="arrow"{spoken}>{ARROWS[trend]}</span></div>'
    )


def change(share: float | None, span_us: int) -> str:
    """The change over a day, or over as much of it as is known."""
    if share is None:
        return f'<div class="cw-change muted">{formats.UNKNOWN}</div>'
    trend = of_change(share)
    arrow = f"{ARROWS[trend]} " if ARROWS[trend] else ""
    return (
        f'<div class="cw-change {trend}">{arrow}{formats.percent(share)} '
        f'<span class="muted">{_span(span_us)}</span></div>'
    )


def quote(
    market: Market,
    trade: LastTrade | None,
    day: DayStats | None,
    trend: Trend,
    now_us: int,
    *,
    moved: bool = False,
    stale: bool = False,
) -> str:
    """One market in a line: name, price, change, high, low, volume, age."""
    parts = [
        f'<h1 class="cw-title">{escape(market.symbol.base)}<span> / {escape(market.symbol.quote)}</span>'
        f"<small>{escape(market.exchange)}</small></h1>"
    ]
    if trade is None:
        parts.append('<span class="muted">no trade in the last 24 hours</span>')
    else:
        parts.append(price(trade.price, trend, moved=moved))
        if day is not None:
            span_us = now_us - day.first_us
            parts.append(change(trade.price / day.open - 1, DAY_US if span_us >= WHOLE_DAY_US else span_us))
            parts += [
                _fact("High", formats.price(max(day.high, trade.price))),
                _fact("Low", formats.price(min(day.low, trade.price))),
                _fact("Volume", f"{formats.compact(day.quote_volume)} {escape(market.symbol.quote)}"),
            ]
        parts.append(_fact("Last trade", formats.age(trade.ts_us, now_us)))
    if stale:
        parts.append('<span class="cw-badge stale">stale</span>')
    return f'<div class="cw-quote">{"".join(parts)}</div>'


def chart_notes(view: ChartView, zone: tzinfo, further: str = "") -> str:
    """What the chart cannot say by itself, and ``further`` words."""
    begins = (
        f"Stored history begins {time(view.begins_us, zone, seconds=False)}. "
        if view.begins_us is not None
        else ""
    )
    notes = [
        f"Candles of {view.interval}. Drag or scroll on the chart to move and zoom; click for an alert there,"
        " double-click for finer candles."
    ]
    if view.missing:
        notes.append("Hatched: not yet collected, so trades may be missing there.")
    if view.quiet:
        notes.append("A dash: nothing traded.")
    if further:
        notes.append(further)
    return f'<p class="cw-notes">{begins}{escape(" ".join([*view.notes, *notes]))}</p>'


def offer(words: str, address: str) -> str:
    """Something to do next, as a link."""
    return f'<a class="cw-offer" href="{escape(address)}">{escape(words)}</a>'


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A plain table of escaped text; a column is (title, class: number, time, text or empty)."""
    head = "".join(f'<th class="{kind}">{escape(title)}</th>' for title, kind in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{escape(cell)}</td>' for cell, (_, kind) in zip(row, columns, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="cw-scroll" tabindex="0"><table class="cw-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _fact(name: str, value: str) -> str:
    return f'<span class="cw-fact"><span class="muted">{name}</span> {value}</span>'


def _span(span_us: int) -> str:
    return "24 h" if span_us >= DAY_US else f"in {formats.duration(span_us)} so far"


def _stats(view: Card) -> str:
    short = "" if view.span_us >= DAY_US else "*"
    cells = (
        (f"High{short}", formats.price(view.high)),
        (f"Low{short}", formats.price(view.low)),
        (f"Volume{short}", f"{formats.compact(view.quote_volume)} {escape(view.symbol.quote)}"),
    )
    columns = "".join(f'<span><span class="muted">{name}</span><br>{value}</span>' for name, value in cells)
    return f'<div class="cw-stats">{columns}</div>'


def _chip(one: Constituent) -> str:
    if one.used:
        age = formats.duration(one.age_us or 0)
        tip = f"{one.exchange}: {formats.price(one.price)}, last trade {age} ago"
    else:
        tip = f"{one.exchange} is left out: {one.reason}"
    return (
        f'<span class="cw-ex{"" if one.used else " out"}">{escape(one.exchange)}'
        f'<span class="cw-tip">{escape(tip)}</span></span>'
    )


def _sparkline(view: Card, now_us: int) -> str:
    """A day to scale: what is not known stays empty on the left."""
    since_us = now_us - DAY_US
    points = [(ts_us, value) for ts_us, value in view.sparkline if ts_us >= since_us]
    if view.price is not None and view.as_of_us is not None:
        points.append((max(view.as_of_us, points[-1][0] if points else 0), view.price))
    low, high = min((p for _, p in points), default=0.0), max((p for _, p in points), default=0.0)
    if len(points) < 2 or low == high:
        return '<div class="cw-spark none"></div>'
    scaled = [
        (100 * (ts_us - since_us) / DAY_US, 29 - 28 * (value - low) / (high - low)) for ts_us, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in scaled)
    area = f"{scaled[0][0]:.1f},30 {line} {scaled[-1][0]:.1f},30"
    # Streamlit lets no svg element through; as a mask it takes the colour of the text.
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 30' preserveAspectRatio='none'>"
        f"<polygon points='{area}' fill='#000' opacity='.12'/><polyline points='{line}' fill='none' "
        "stroke='#000' stroke-width='1.6' stroke-linejoin='round' vector-effect='non-scaling-stroke'/></svg>"
    )
    colour = "down" if (view.change or 0) < 0 else "up"
    image = f"url(&quot;data:image/svg+xml,{quote_url(svg)}&quot;)"
    return f'<div class="cw-spark {colour}" style="--line:{image}"></div>'


def _commands(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
