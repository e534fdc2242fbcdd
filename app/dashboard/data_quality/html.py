"""The HTML of the Data page: completeness of candles, streams and their gaps, runs, problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from markupsafe import Markup

from app.dashboard.data_quality import day_view
from app.dashboard.data_quality.view import Amounts, Completeness
from app.dashboard.ui.problems import Problem
from app.dashboard.ui.templates import render
from coinwatch import formats
from coinwatch.liveness import SILENT_S
from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US, from_datetime
from coinwatch.windows import Window
from warehouse.candles.coverage_reads import Hole
from warehouse.ops.dagster import Run
from warehouse.ops.health import StreamRow, StreamState
from warehouse.trades.gap_reads import GapRow

_STREAM_PILLS = {
    StreamState.LIVE: "ok",
    StreamState.CONNECTING: "warn",
    StreamState.DOWN: "bad",
    StreamState.STOPPED: "off",
}
_RUN_PILLS = {"SUCCESS": "ok", "FAILURE": "bad", "CANCELED": "off", "CANCELING": "off", "STARTED": "warn"}
_GAP_PILLS = {"filled": "ok", "open": "warn", "unfillable": "bad"}

MOST_MISSING = 40
"""Missing ranges that are listed."""


def facts(
    total: Amounts, streams: Sequence[StreamRow], gaps: Sequence[GapRow], problems: Sequence[Problem]
) -> Markup:
    """The key numbers: completeness of a month, live streams, open stream gaps and current problems."""
    live = sum(_is_live(row) for row in streams)
    open_gaps = sum(row.state == "open" for row in gaps)
    recovered = sum(row.recovered for row in streams)
    current = sum(problem.is_current for problem in problems)
    tiles = (
        ("Candles complete", complete(total), _missing(total)),
        ("Streams live", f"{live} of {len(streams)}", f"{recovered:,} trades recovered"),
        ("Open stream gaps", f"{open_gaps}", f"{len(gaps)} in the last 7 days"),
        ("Current problems", f"{current}", "listed under Errors" if current else "no action needed"),
    )
    return render("data_quality/facts.html.j2", tiles=tiles)


def legend(view: Completeness) -> Markup:
    """The colours of the heat map."""
    return render("data_quality/legend.html.j2", has_quiet=view.has_quiet)


def by_market(view: Completeness) -> Markup:
    """The totals of the heat map by market."""
    rows = [
        {
            "market": str(row.market),
            "complete": complete(row.total),
            "missing": _hours(row.total.missing_s),
            "unavailable": _hours(row.total.unavailable_s),
            "verified": _hours(row.total.covered_s),
            "quiet": _hours(row.total.quiet_s),
        }
        for row in view.rows
    ]
    return render("data_quality/by_market.html.j2", rows=rows, has_quiet=view.has_quiet)


def missing(ranges: Sequence[Hole], markets: Mapping[int, Market], zone: tzinfo) -> Markup:
    """Missing and unavailable ranges of candles; equal ranges of several markets share a row."""
    by_range: dict[tuple[Window, str], list[str]] = {}
    for entry in ranges:
        name = str(markets.get(entry.market_id, "unknown"))
        by_range.setdefault((entry.window, entry.kind), []).append(name)
    rows = [
        {"window": window, "kind": kind, "markets": names, "summary": _several(names)}
        for (window, kind), names in list(by_range.items())[:MOST_MISSING]
    ]
    more = max(0, len(by_range) - MOST_MISSING)
    return render("data_quality/missing.html.j2", rows=rows, more=more, zone=zone)


def day(window: Window, minutes: Sequence[day_view.Minute], zone: tzinfo) -> Markup:
    """A UTC day as a line for each hour; the title of an hour is the viewer's local time."""
    hours = [
        {
            "name": f"{number // day_view.HOUR:02d}:00",
            "local": formats.local(window.start_us + number * MINUTE_US, zone, seconds=False),
            "counts": day_view.counts(minutes[number : number + day_view.HOUR]),
            "spans": [
                {
                    "kind": span.kind,
                    "share": span.count / day_view.HOUR,
                    "title": _clock_range(number + span.first, span.count),
                }
                for span in day_view.spans(minutes[number : number + day_view.HOUR])
            ],
        }
        for number in range(0, len(minutes), day_view.HOUR)
    ]
    return render("data_quality/day.html.j2", hours=hours, labels=day_view.LABELS)


def day_legend(minutes: Sequence[day_view.Minute]) -> Markup:
    """The kinds of minutes of a day, with the number of each."""
    counts = day_view.counts(minutes)
    return render("data_quality/day_legend.html.j2", counts=counts, labels=day_view.LABELS)


def streams(rows: Sequence[StreamRow], zone: tzinfo, now_us: int) -> Markup:
    """The state of each stream; those that are not live come first."""
    states = [
        (row, ("off", "stale") if row.age_s > SILENT_S else (_STREAM_PILLS[row.state], row.state.value))
        for row in sorted(rows, key=_is_live)
    ]
    return render("data_quality/streams.html.j2", rows=states, zone=zone, now_us=now_us)


def gaps(rows: Sequence[GapRow], zone: tzinfo) -> Markup:
    """Stream gaps and their recovery."""
    cells = [(row, _GAP_PILLS.get(row.state, "off"), _recovery_time(row)) for row in rows]
    return render("data_quality/gaps.html.j2", rows=cells, zone=zone)


def runs(rows: Sequence[Run], dagster_url: str, zone: tzinfo, now_us: int) -> Markup:
    """Dagster's last runs, each with a link to its page there."""
    cells: list[dict[str, Any]] = [
        {
            "run": run,
            "kind": _RUN_PILLS.get(run.status, "warn"),
            "status": run.status.replace("_", " ").lower(),
            "duration": _run_duration(run, now_us),
        }
        for run in rows
    ]
    return render("data_quality/runs.html.j2", rows=cells, dagster_url=dagster_url, zone=zone)


def problems(rows: Sequence[Problem], dagster_url: str, zone: tzinfo) -> Markup:
    """Current and past problems."""
    return render("data_quality/problems.html.j2", problems=rows, dagster_url=dagster_url, zone=zone)


def complete(amounts: Amounts) -> str:
    """The complete share in percent: ``100 %`` only when nothing is missing."""
    share = amounts.share
    if share is None:
        return formats.UNKNOWN
    if amounts.missing_s == 0:
        return "100 %"
    return f"{min(share * 100, 99.99):.2f} %"


def _is_live(row: StreamRow) -> bool:
    return row.state is StreamState.LIVE and row.age_s <= SILENT_S


def _recovery_time(row: GapRow) -> str:
    if row.state != "filled" or row.closed_at is None:
        return formats.UNKNOWN
    return formats.duration(from_datetime(row.closed_at) - from_datetime(row.opened_at))


def _run_duration(run: Run, now_us: int) -> str:
    if run.started is None:
        return formats.UNKNOWN
    end_us = _us(run.ended) or now_us
    return formats.duration(end_us - from_datetime(run.started)) + ("" if run.ended else " so far")


def _us(moment: datetime | None) -> int:
    return from_datetime(moment) if moment else 0


def _several(names: Sequence[str]) -> str:
    return formats.names(list(names)) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _missing(total: Amounts) -> str:
    """What is missing of a month, all markets together."""
    if not total.missing_s:
        return "nothing missing in 30 days"
    return f"{_hours(total.missing_s)} missing, all markets and 30 days together"


def _clock_range(first: int, count: int) -> str:
    last = first + count
    return f"{first // 60:02d}:{first % 60:02d} to {last // 60:02d}:{last % 60:02d}"


def _hours(seconds: float) -> str:
    return formats.UNKNOWN if seconds == 0 else formats.duration(round(seconds * SECOND_US))
