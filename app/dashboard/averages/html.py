"""The HTML of the Averages page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo

from markupsafe import Markup

from app.dashboard.averages.view import AveragesView, Part
from app.dashboard.ui.templates import render
from app.dashboard.ui.trend import Trend
from coinwatch.averaging.average import MIN_EXCHANGES
from coinwatch.liveness import is_average_stale
from warehouse.averages.store import PairAverage


def headline(pair: PairAverage, trend: Trend, now_us: int, *, moved: bool) -> Markup:
    """The average now: price, change over 24 hours, spread, method, age."""
    return render(
        "averages/headline.html.j2",
        pair=pair,
        trend=trend,
        moved=moved,
        now_us=now_us,
        stale=is_average_stale(pair.ts_us, now_us),
        enough=MIN_EXCHANGES,
    )


def past(pair: PairAverage, zone: tzinfo) -> Markup:
    """An average of the past."""
    return render("averages/past.html.j2", pair=pair, zone=zone)


def constituents(parts: Sequence[Part], colours: Mapping[str, str], zone: tzinfo) -> Markup:
    """The markets of an average, and those that were excluded and why."""
    widest = max((abs(part.deviation) for part in parts if part.used), default=0.0) or 1.0
    return render("averages/constituents.html.j2", parts=parts, colours=colours, widest=widest, zone=zone)


def volumes(shares: Sequence[tuple[str, float, float]], colours: Mapping[str, str], quote: str) -> Markup:
    """Exchanges with their volume in ``quote`` and its share of the whole, as bars."""
    return render("averages/volumes.html.j2", shares=shares, colours=colours, quote=quote)


def notes(view: AveragesView, zone: tzinfo) -> Markup:
    """What the chart does not show by itself."""
    return render("averages/notes.html.j2", view=view, zone=zone)
