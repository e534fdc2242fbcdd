"""The HTML of the Data page. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape

from app.dashboard.data_quality.completeness import Amounts, Completeness
from app.dashboard.data_quality.operations_html import run_link
from app.dashboard.ui import html
from app.dashboard.ui.problems import SILENT_S, Problem
from app.dashboard.ui.tables import Column, note, pill, table, tiles
from coinwatch import formats
from coinwatch.records import Market
from coinwatch.times import SECOND_US, from_datetime
from coinwatch.windows import Window
from warehouse.candles.coverage_reads import Hole
from warehouse.ops.dagster import Run
from warehouse.ops.health import StreamRow, StreamState
from warehouse.trades.gap_reads import GapRow

_STATES = {
    StreamState.LIVE: "ok",
    StreamState.CONNECTING: "warn",
    StreamState.DOWN: "bad",
    StreamState.STOPPED: "off",
}
_RUNS = {"SUCCESS": "ok", "FAILURE": "bad", "CANCELED": "off", "CANCELING": "off", "STARTED": "warn"}
_GAPS = {"filled": "ok", "open": "warn", "unfillable": "bad"}

MOST_HOLES = 40


def facts(
    whole: Amounts, streams: Sequence[StreamRow], gaps: Sequence[GapRow], troubles: Sequence[Problem]
) -> str:
    """The few numbers that say whether to look further."""
    live = sum(row.state is StreamState.LIVE and row.age_s <= SILENT_S for row in streams)
    open_gaps = sum(row.state == "open" for row in gaps)
    now = sum(one.is_current for one in troubles)
    return tiles(
        (
            ("Candles complete", complete(whole), _missing(whole)),
            ("Streams live", f"{live} of {len(streams)}", _recovered(streams)),
            ("Open interruptions", f"{open_gaps}", f"{len(gaps)} in a week"),
            ("Troubles now", f"{now}", "nothing needs you" if not now else "listed under Errors"),
        )
    )


def legend(view: Completeness) -> str:
    """What the colours of the heat map mean."""
    if view.tells_quiet:
        verified = (
            '<span><i class="traded"></i>verified, with trades</span>'
            '<span><i class="quiet"></i>verified, nothing traded</span>'
        )
        more = ""
    else:
        verified = '<span><i class="traded"></i>verified, minutes in which nothing traded included</span>'
        more = "<span>One market, or fewer days, tell those without a trade apart.</span>"
    return (
        f'<p class="cw-notes cw-legend">{verified}<span><i class="missing"></i>missing: asked for and not '
        'there</span><span><i class="unavailable"></i>the exchange no longer serves it</span>'
        f'<span><i class="none"></i>not asked for, or to come</span>{more}</p>'
    )


def by_market(view: Completeness) -> str:
    """The heat map's totals as a table."""
    columns: list[Column] = [
        ("Market", "name", ""),
        ("Complete", "number", "Of what can be had"),
        ("Missing", "number", ""),
        ("Not served", "number", "The exchange no longer serves it"),
        ("Verified", "number", "Compared with what the exchange serves, minutes without a trade included"),
        *([("Nothing traded", "number", "Of what is verified")] if view.tells_quiet else []),
    ]
    rows = [
        [
            f'<a href="data?view=completeness&amp;market={escape(str(row.market))}" target="_self">'
            f"{escape(str(row.market))}</a>",
            complete(row.whole),
            _hours(row.whole.missing_s),
            _hours(row.whole.unavailable_s),
            _hours(row.whole.covered_s),
            *([_hours(row.whole.quiet_s)] if view.tells_quiet else []),
        ]
        for row in view.rows
    ]
    return table("Completeness by market", columns, rows)


def holes(found: Sequence[Hole], markets: Mapping[int, Market], zone: tzinfo) -> str:
    """Spans of candles that are not there; one that several markets lack is told once."""
    columns: list[Column] = [
        ("From", "time", ""),
        ("To", "time", ""),
        ("Length", "number", ""),
        ("State", "", ""),
        ("Markets", "text", ""),
    ]
    together: dict[tuple[Window, str], list[str]] = {}
    for one in found:
        name = str(markets.get(one.market_id, "unknown"))
        together.setdefault((one.window, one.kind), []).append(name)
    rows = [
        [
            html.time(window.start_us, zone, seconds=False),
            html.time(window.end_us, zone, seconds=False),
            formats.duration(window.length_us),
            pill("bad", kind) if kind == "missing" else pill("off", "not served"),
            f'<span title="{escape(", ".join(names))}">{escape(_several(names))}</span>',
        ]
        for (window, kind), names in list(together.items())[:MOST_HOLES]
    ]
    more = f"{len(together) - MOST_HOLES:,} more are in v_gaps. " if len(together) > MOST_HOLES else ""
    words = (
        "What is missing is asked for again by itself, within ten minutes; what an exchange no longer serves "
        "is not."
    )
    return table("Missing candles", columns, rows) + note(more + words)


def streams(rows: Sequence[StreamRow], zone: tzinfo, now_us: int) -> str:
    """How each stream does."""
    columns: list[Column] = [
        ("Market", "name", ""),
        ("State", "", ""),
        ("Last price", "number", ""),
        ("Last trade", "time", "By the exchange's clock"),
        ("Lag", "number", "From the exchange's clock to our commit, last batch"),
        ("Trades", "number", "Stored since the daemon started"),
        ("Twice", "number", "Trades that came again and were dropped"),
        ("Recovered", "number", "Trades fetched by REST after an interruption"),
        ("Reconnects", "number", ""),
        ("Last error", "text", ""),
    ]
    cells = []
    for row in sorted(rows, key=lambda row: row.state is StreamState.LIVE and row.age_s <= SILENT_S):
        silent = row.age_s > SILENT_S
        state = pill("off", "silent") if silent else pill(_STATES[row.state], row.state)
        error = escape(row.last_error or "")
        if row.last_error and row.last_error_at:
            error += f" <small>{html.time(from_datetime(row.last_error_at), zone)}</small>"
        cells.append(
            [
                escape(str(row.market)),
                state,
                formats.price(row.last_price),
                _ago(row.last_trade_ts, now_us),
                formats.UNKNOWN if row.lag_ms is None else f"{row.lag_ms:,.0f} ms",
                f"{row.trades:,}",
                f"{row.duplicates:,}",
                f"{row.recovered:,}",
                f"{row.reconnects:,}",
                error,
            ]
        )
    return table("Streams", columns, cells)


def gaps(rows: Sequence[GapRow], zone: tzinfo) -> str:
    """Interruptions of streams and what became of them."""
    columns: list[Column] = [
        ("Noticed", "time", ""),
        ("Market", "name", ""),
        ("Cause", "", ""),
        ("State", "", ""),
        ("From", "time", "The last trade before it"),
        ("To", "time", "The first trade after it"),
        ("Recovered", "number", "Trades stored by recovery"),
        ("Repaired in", "number", "From when it was noticed until nothing was missing"),
        ("Reason", "text", ""),
    ]
    cells = [
        [
            html.time(from_datetime(row.opened_at), zone),
            escape(str(row.market)),
            escape(row.cause),
            pill(_GAPS.get(row.state, "off"), row.state),
            html.time(from_datetime(row.after_ts), zone),
            html.time(from_datetime(row.before_ts), zone) if row.before_ts else "not back yet",
            f"{row.recovered:,}",
            _took_repair(row),
            escape(row.reason or ""),
        ]
        for row in rows
    ]
    return table("Interruptions", columns, cells)


def runs(rows: Sequence[Run], dagster_url: str, zone: tzinfo, now_us: int) -> str:
    """Dagster's last runs, each linking to its page there."""
    columns: list[Column] = [
        ("Run", "name", ""),
        ("State", "", ""),
        ("Job or assets", "text", ""),
        ("Partition", "name", ""),
        ("Launched by", "", ""),
        ("Created", "time", ""),
        ("Took", "number", ""),
    ]
    cells = [
        [
            run_link(row.run_id, dagster_url),
            pill(_RUNS.get(row.status, "warn"), row.status.replace("_", " ").lower()),
            escape(row.job) + (f'<br><span class="cw-why">{escape(row.why)}</span>' if row.why else ""),
            escape(row.partition),
            escape(row.launched_by or "a person"),
            html.time(from_datetime(row.created), zone),
            _took(row, now_us),
        ]
        for row in rows
    ]
    return table("Runs", columns, cells)


def troubles(found: Sequence[Problem], dagster_url: str, zone: tzinfo) -> str:
    """What is wrong, and what was."""
    columns: list[Column] = [("", "", ""), ("Where", "name", ""), ("What", "text", ""), ("When", "time", "")]
    cells = [
        [
            pill("bad", "now") if one.is_current else pill("off", "past"),
            escape(one.where),
            escape(one.what) + (f" {run_link(one.run_id, dagster_url)}" if one.run_id else ""),
            html.time(one.at_us, zone) if one.at_us is not None else "",
        ]
        for one in found
    ]
    return table("Errors", columns, cells)


def complete(amounts: Amounts) -> str:
    """``100 %`` only when nothing is missing."""
    share = amounts.share
    if share is None:
        return formats.UNKNOWN
    if amounts.missing_s == 0:
        return "100 %"
    return f"{min(share * 100, 99.99):.2f} %"


def _took_repair(row: GapRow) -> str:
    if row.state != "filled" or row.closed_at is None:
        return formats.UNKNOWN
    return formats.duration(from_datetime(row.closed_at) - from_datetime(row.opened_at))


def _took(run: Run, now_us: int) -> str:
    if run.started is None:
        return formats.UNKNOWN
    end_us = from_datetime(run.ended) if run.ended else now_us
    return formats.duration(end_us - from_datetime(run.started)) + ("" if run.ended else " so far")


def _ago(moment: datetime | None, now_us: int) -> str:
    if moment is None:
        return "none yet"
    at_us = from_datetime(moment)
    return f'<time title="{escape(formats.moment(at_us))}">{formats.age(at_us, now_us)}</time>'


def _recovered(rows: Sequence[StreamRow]) -> str:
    return f"{sum(row.recovered for row in rows):,} trades recovered"


def _several(names: Sequence[str]) -> str:
    return formats.names(list(names)) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _missing(whole: Amounts) -> str:
    """Of a month and all markets together."""
    if not whole.missing_s:
        return "nothing missing in 30 days"
    return f"{_hours(whole.missing_s)} missing, all markets and 30 days together"


def _hours(seconds: float) -> str:
    return formats.UNKNOWN if seconds == 0 else formats.duration(round(seconds * SECOND_US))
