"""The HTML of the Data page. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape

from app.dashboard import formats, markup
from app.dashboard.completeness import Amounts, Completeness
from app.dashboard.troubles import SILENT_S, Trouble, Weight, is_silent
from coinwatch.records import Market
from coinwatch.times import SECOND_US, from_datetime
from warehouse.budgets import MonthOfCalls
from warehouse.dagster import Run
from warehouse.health import ServiceRow, StreamRow, StreamState
from warehouse.ledger import GapRow
from warehouse.reads_coverage import Hole

_STATES = {
    StreamState.LIVE: "ok",
    StreamState.CONNECTING: "warn",
    StreamState.DOWN: "bad",
    StreamState.STOPPED: "off",
}
_RUNS = {"SUCCESS": "ok", "FAILURE": "bad", "CANCELED": "off", "CANCELING": "off", "STARTED": "warn"}
_GAPS = {"filled": "ok", "open": "warn", "unfillable": "bad"}

Column = tuple[str, str, str]
"""Title, class, and what it means."""


def facts(
    whole: Amounts, streams: Sequence[StreamRow], gaps: Sequence[GapRow], troubles: Sequence[Trouble]
) -> str:
    """The few numbers that say whether to look further."""
    live = sum(row.state is StreamState.LIVE and row.age_s <= SILENT_S for row in streams)
    open_gaps = sum(row.state == "open" for row in gaps)
    now = sum(one.weight is Weight.NOW for one in troubles)
    tiles = (
        ("Candles complete", complete(whole), _missing(whole)),
        ("Streams live", f"{live} of {len(streams)}", _recovered(streams)),
        ("Open interruptions", f"{open_gaps}", f"{len(gaps)} in a week"),
        ("Troubles now", f"{now}", "nothing needs you" if not now else "listed under Errors"),
    )
    body = "".join(
        f'<div class="cw-tile"><span class="muted">{escape(name)}</span><b>{escape(value)}</b>'
        f'<span class="muted">{escape(under)}</span></div>'
        for name, value, under in tiles
    )
    return f'<div class="cw-tiles">{body}</div>'


def legend() -> str:
    """What the colours of the heat map mean."""
    return (
        '<p class="cw-notes cw-legend"><span><i class="covered"></i>verified against the exchange, minutes '
        'without a trade included</span><span><i class="missing"></i>missing: asked for and not there</span>'
        '<span><i class="unavailable"></i>the exchange no longer serves it</span>'
        '<span><i class="none"></i>not asked for, or to come</span></p>'
    )


def by_market(view: Completeness) -> str:
    """The heat map's totals as a table."""
    columns: list[Column] = [
        ("Market", "name", ""),
        ("Complete", "number", "Of what can be had"),
        ("Missing", "number", ""),
        ("Not served", "number", "The exchange no longer serves it"),
        ("Verified", "number", ""),
    ]
    rows = [
        [
            escape(str(row.market)),
            complete(row.whole),
            _hours(row.whole.missing_s),
            _hours(row.whole.unavailable_s),
            _hours(row.whole.covered_s),
        ]
        for row in view.rows
    ]
    return _table("Completeness by market", columns, rows)


def holes(found: Sequence[Hole], markets: Mapping[int, Market], zone: tzinfo) -> str:
    """Spans of candles that are not there."""
    columns: list[Column] = [
        ("Market", "name", ""),
        ("From", "time", ""),
        ("To", "time", ""),
        ("Length", "number", ""),
        ("", "text", ""),
    ]
    rows = [
        [
            escape(str(markets.get(one.market_id, "unknown"))),
            markup.time(one.window.start_us, zone, seconds=False),
            markup.time(one.window.end_us, zone, seconds=False),
            formats.duration(one.window.length_us),
            _pill("bad" if one.kind == "missing" else "off", one.kind),
        ]
        for one in found
    ]
    return _table("Missing candles", columns, rows)


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
    for row in rows:
        silent = row.age_s > SILENT_S
        state = _pill("off", "silent") if silent else _pill(_STATES[row.state], row.state)
        error = escape(row.last_error or "")
        if row.last_error and row.last_error_at:
            error += f" <small>{markup.time(from_datetime(row.last_error_at), zone)}</small>"
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
    return _table("Streams", columns, cells)


def services(rows: Sequence[ServiceRow], calls: Sequence[MonthOfCalls], zone: tzinfo) -> str:
    """The processes that beat, and what is spent of budgets by the month."""
    columns: list[Column] = [
        ("Service", "name", ""),
        ("State", "", ""),
        ("Instance", "", "Host and process"),
        ("Since", "time", ""),
        ("Queue", "number", "Trades not yet stored"),
        ("Spool", "number", "Trades kept on disk while the database was away"),
    ]
    cells = [
        [
            escape(row.service),
            _pill("off", f"silent {_age(row.age_s)}") if is_silent(row) else _pill("ok", "runs"),
            escape(row.instance),
            markup.time(from_datetime(row.started_at), zone),
            _number(row.detail.get("queue")),
            _bytes(row.detail.get("spool_bytes")),
        ]
        for row in rows
    ]
    parts = [_table("Services", columns, cells)]
    if calls:
        spent: list[Column] = [
            ("Provider", "name", ""),
            ("Limit", "", ""),
            ("Calls this month", "number", ""),
        ]
        parts.append(
            _table(
                "Calls",
                spent,
                [[escape(one.host), escape(one.scope), f"{one.calls:,} of {one.allowed:,}"] for one in calls],
            )
        )
    return "".join(parts)


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
        ("Reason", "text", ""),
    ]
    cells = [
        [
            markup.time(from_datetime(row.opened_at), zone),
            escape(str(row.market)),
            escape(row.cause),
            _pill(_GAPS.get(row.state, "off"), row.state),
            markup.time(from_datetime(row.after_ts), zone),
            markup.time(from_datetime(row.before_ts), zone) if row.before_ts else "not back yet",
            f"{row.recovered:,}",
            escape(row.reason or ""),
        ]
        for row in rows
    ]
    return _table("Interruptions", columns, cells)


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
            _run_link(row.run_id, dagster_url),
            _pill(_RUNS.get(row.status, "warn"), row.status.replace("_", " ").lower()),
            escape(row.job),
            escape(row.partition),
            escape(row.launched_by or "a person"),
            markup.time(from_datetime(row.created), zone),
            _took(row, now_us),
        ]
        for row in rows
    ]
    return _table("Runs", columns, cells)


def troubles(found: Sequence[Trouble], dagster_url: str, zone: tzinfo) -> str:
    """What is wrong, and what was."""
    columns: list[Column] = [("", "", ""), ("Where", "name", ""), ("What", "text", ""), ("When", "time", "")]
    cells = [
        [
            _pill("bad", "now") if one.weight is Weight.NOW else _pill("off", "past"),
            escape(one.where),
            escape(one.what) + (f" {_run_link(one.run_id, dagster_url)}" if one.run_id else ""),
            markup.time(one.at_us, zone) if one.at_us is not None else "",
        ]
        for one in found
    ]
    return _table("Errors", columns, cells)


def complete(amounts: Amounts) -> str:
    """``100 %`` only when nothing is missing."""
    share = amounts.share
    if share is None:
        return formats.UNKNOWN
    if amounts.missing_s == 0:
        return "100 %"
    return f"{min(share * 100, 99.99):.2f} %"


def _table(label: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    head = "".join(
        f'<th class="{kind}" scope="col"{f" title={chr(34)}{escape(tip)}{chr(34)}" if tip else ""}>'
        f"{escape(title)}</th>"
        for title, kind, tip in columns
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind, _) in zip(row, columns, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="cw-scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<table class="cw-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _pill(kind: str, words: str) -> str:
    return f'<span class="cw-pill {kind}">{escape(words)}</span>'


def _run_link(run_id: str, dagster_url: str) -> str:
    href = escape(f"{dagster_url}/runs/{run_id}")
    return f'<a href="{href}" target="_blank" rel="noopener">{escape(run_id[:8])}</a>'


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


def _missing(whole: Amounts) -> str:
    return (
        f"{_hours(whole.missing_s)} missing of 30 days" if whole.missing_s else "nothing missing in 30 days"
    )


def _hours(seconds: float) -> str:
    return formats.UNKNOWN if seconds == 0 else formats.duration(round(seconds * SECOND_US))


def _age(age_s: float) -> str:
    return formats.duration(round(age_s * SECOND_US))


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else formats.UNKNOWN


def _bytes(value: object) -> str:
    if not isinstance(value, int | float):
        return formats.UNKNOWN
    return f"{formats.compact(float(value))}B" if value else "empty"
