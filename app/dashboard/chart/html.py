"""The HTML of the Chart page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from markupsafe import Markup

from app.dashboard.chart.compare import Rebased
from app.dashboard.chart.view import ChartView
from app.dashboard.ui.templates import render
from app.dashboard.ui.trend import Trend
from coinwatch.intervals import Interval
from coinwatch.liveness import WHOLE_DAY_US
from coinwatch.records import Market
from coinwatch.times import DAY_US
from warehouse.candles.chart_reads import DayStats, LastTrade


def quote(
    market: Market,
    trade: LastTrade | None,
    day: DayStats | None,
    trend: Trend,
    now_us: int,
    *,
    moved: bool = False,
    stale: bool = False,
) -> Markup:
    """One market in a line: name, price, change, high, low, volume, age."""
    span_us = now_us - day.first_us if day is not None else 0
    return render(
        "chart/quote.html.j2",
        market=market,
        trade=trade,
        day=day,
        trend=trend,
        now_us=now_us,
        moved=moved,
        stale=stale,
        span_us=DAY_US if span_us >= WHOLE_DAY_US else span_us,
    )


def notes(view: ChartView, zone: tzinfo, further: str = "") -> Markup:
    """What the chart of candles does not show by itself, and ``further`` words."""
    notes = [
        *view.notes,
        f"{view.interval} candles. Drag or scroll to pan and zoom; click to create an alert at a price,"
        " double-click to zoom in to shorter candles.",
    ]
    if view.missing:
        notes.append("Hatched: candles not yet collected; trades may be missing.")
    if view.quiet:
        notes.append("Dash: no trade in that interval.")
    if further:
        notes.append(further)
    return render("chart/notes.html.j2", view=view, zone=zone, notes=notes)


def comparison_notes(lines: Sequence[Rebased], interval: Interval, zone: tzinfo) -> Markup:
    """What is drawn of several markets, and the change of each."""
    return render("chart/comparison_notes.html.j2", lines=lines, interval=interval, zone=zone)
