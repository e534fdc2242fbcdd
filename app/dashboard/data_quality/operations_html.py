"""The HTML of what keeps the data well: services, Dagster, checks, disk, outlets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from html import escape
from typing import Any

from app.dashboard.data_quality.reads import CHECKED_DAYS, Checks, Outlets, Storage
from app.dashboard.ui import html
from app.dashboard.ui.problems import is_silent
from app.dashboard.ui.tables import Column, note, pill, section, table, tiles
from coinwatch import formats
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, from_datetime
from warehouse.alerts import deliveries
from warehouse.ops.budgets import MonthOfCalls
from warehouse.ops.health import ServiceRow
from warehouse.ops.retention import AVERAGE_DAYS, EVENT_DAYS, REJECT_DAYS, overdue

MOST_TABLES = 12
MOST_TICK_DAYS = 14

_CHECKS = {"same": "ok", "repaired": "warn", "differs": "bad", "incomplete": "off"}
_DELIVERIES = {"waiting": "warn", "dead": "bad"}


def services(rows: Sequence[ServiceRow], calls: Sequence[MonthOfCalls], zone: tzinfo) -> str:
    """The processes that beat, and what is spent of budgets by the month."""
    columns: list[Column] = [
        ("Service", "name", ""),
        ("State", "", ""),
        ("Instance", "", "Host and process"),
        ("Since", "time", ""),
        ("Heard", "number", "How long ago it last said that it lives"),
        ("Queue", "number", "Trades not yet stored"),
        ("Spool", "number", "Trades kept on disk while the database was away"),
        ("Says", "text", ""),
    ]
    cells = [
        [
            escape(row.service),
            pill("off", "silent") if is_silent(row) else pill("ok", "runs"),
            escape(row.instance),
            html.time(from_datetime(row.started_at), zone),
            f"{_age(row.age_s)} ago",
            _count(row.detail.get("queue")),
            _bytes(row.detail.get("spool_bytes")),
            escape(_says(row)),
        ]
        for row in rows
    ]
    parts = [table("Services", columns, cells)]
    if calls:
        spent: list[Column] = [
            ("Provider", "name", ""),
            ("Limit", "", ""),
            ("Calls this month", "number", "The month begins anew on its first day, UTC"),
        ]
        told = [[escape(one.host), escape(one.scope), f"{one.calls:,} of {one.allowed:,}"] for one in calls]
        parts.append(section("Budgets", table("Calls", spent, told)))
    return "".join(parts)


def dagster(row: ServiceRow, dagster_url: str, zone: tzinfo) -> str:
    """What Dagster says of its last day: runs, the last failure, the oldest gap in candles."""
    runs, failure, gap = (
        _mapping(row.detail.get(name)) for name in ("runs_24h", "last_failure", "oldest_gap")
    )
    heard = f"told {_age(row.age_s)} ago" if not is_silent(row) else f"silent for {_age(row.age_s)}"
    parts = [
        tiles(
            (
                ("Runs in 24 h", f"{_count(runs.get('success'))} succeeded", heard),
                ("Failed in 24 h", _count(runs.get("failure")), f"{_count(runs.get('canceled'))} canceled"),
                ("Under way", _count(runs.get("under_way")), "queued or running now"),
                ("Markets with gaps", _count(gap.get("markets_with_gaps", 0)), _oldest(gap, zone)),
            )
        )
    ]
    if failure:
        ended = _moment(failure.get("at"))
        when = html.time(ended, zone) if ended is not None else ""
        link = run_link(str(failure.get("run_id", "")), dagster_url)
        words = escape(str(failure.get("text", "")))
        job = escape(str(failure.get("job", "")))
        parts.append(f'<p class="cw-words">Last failure: <b>{job}</b> {link} {when}<br>{words}</p>')
    return "".join(parts)


def checks(found: Checks, zone: tzinfo) -> str:
    """Days of ours beside the exchanges' own, and what was not the same."""
    columns: list[Column] = [
        ("Day", "time", "UTC"),
        ("Same", "number", "Markets whose minutes fold to the exchange's own candle of the day"),
        ("Repaired", "number", "Markets where minutes differed, were fetched again and now fold to it"),
        ("Differ", "number", "Markets that still differ: prices by more than a step, or volume by 0.1 %"),
        ("Not compared", "number", "Not all of the day is there, or the exchange shows no candle of it"),
        ("Minutes corrected", "number", ""),
        ("Checked", "time", ""),
    ]
    days = [
        [
            f"{one.day:%-d %b %Y}",
            f"{one.same:,}",
            f"{one.repaired:,}",
            pill("bad", f"{one.differs:,}") if one.differs else "0",
            f"{one.incomplete:,}",
            f"{one.minutes:,}",
            html.time(from_datetime(one.checked_at), zone, seconds=False),
        ]
        for one in found.days
    ]
    parts = [section("By day", table("Checks by day", columns, days))]
    if found.amiss:
        rows: list[Column] = [
            ("Day", "time", "UTC"),
            ("Market", "name", ""),
            ("State", "", ""),
            ("Minutes corrected", "number", ""),
            ("What was found", "text", ""),
            ("Checked", "time", ""),
        ]
        cells = [
            [
                f"{one.day:%-d %b %Y}",
                f'<a href="{escape(_day_link(str(one.market), one.day))}" target="_self">'
                f"{escape(str(one.market))}</a>",
                pill(_CHECKS.get(one.state, "off"), one.state),
                f"{one.repaired:,}",
                escape(_found(one.detail)),
                html.time(from_datetime(one.checked_at), zone, seconds=False),
            ]
            for one in found.amiss
        ]
        parts.append(section("Not the same", table("Days that were not the same", rows, cells)))
    return "".join(parts)


def storage(found: Storage, settings: Settings, today: date) -> str:
    """What is on disk, how it is kept, and what goes next."""
    limit = round(settings.ticks_keep_gb * 1e9)
    ticks = sum(day.bytes for day in found.tick_days)
    due = overdue(found.tick_days, today, settings.ticks_keep_days, limit)
    oldest = f"since {found.tick_days[0].day:%-d %b %Y}" if found.tick_days else "none stored"
    shown = [
        ("Database", _bytes(found.database), "tables and indexes"),
        ("Trades", _bytes(ticks), f"of at most {_bytes(limit)}, {oldest}"),
        ("Dagster's database", _bytes(found.dagster), "runs and their events"),
    ]
    if found.free is not None:
        shown.append(("Free on disk", _bytes(found.free), "where the database is"))
    share = min(1.0, ticks / limit) if limit else 0.0
    bar = (
        f'<div class="cw-supply" role="img" aria-label="Trades take {share:.0%} of their limit">'
        f'<i style="width:{share * 100:.1f}%"></i></div>'
    )
    if due:
        going = (
            f"{len(due)} {'day' if len(due) == 1 else 'days'} of trades "
            f"({_bytes(sum(day.bytes for day in due))}) are over the limit; they go at 04:23 UTC, "
            "each as soon as its candles are verified."
        )
    else:
        going = "No day of trades is over its limits."
    limits = (
        f"Trades are kept for {settings.ticks_keep_days} days or {settings.ticks_keep_gb:g} GB, whichever is "
        f"less; candles for ever. {going} The limits: COINWATCH_TICKS_KEEP_DAYS and COINWATCH_TICKS_KEEP_GB."
    )
    parts = [tiles(shown), bar, note(limits), section("Tables", _sizes(found, settings))]
    if found.tick_days:
        columns: list[Column] = [
            ("Day", "time", "UTC"),
            ("Size", "number", "With its indexes"),
            ("", "wide", ""),
        ]
        largest = max(day.bytes for day in found.tick_days)
        days = [
            [f"{day.day:%-d %b %Y}", _bytes(day.bytes), _bar(day.bytes, largest)]
            for day in reversed(found.tick_days[-MOST_TICK_DAYS:])
        ]
        parts.append(section("Trades by day", table("Trades by day", columns, days)))
    return "".join(parts)


def outlets(found: Outlets, zone: tzinfo, now_us: int) -> str:
    """Where alerts go besides connections, and what did not arrive."""
    columns: list[Column] = [
        ("Outlet", "name", "Its number in coinwatch outlets"),
        ("Client", "name", "Whose alerts it gets"),
        ("Kind", "", ""),
        ("State", "", ""),
        ("Delivered", "number", "Of the last seven days"),
        ("Waiting", "number", "Due, or to be tried again"),
        ("Given up", "number", "After the last try failed; coinwatch outlets resend sends them again"),
        ("Last delivery", "time", ""),
    ]
    rows = [
        [
            str(one.id),
            escape(one.client),
            escape(one.kind),
            pill("ok", "active")
            if one.disabled_at is None
            else f"{pill('bad', 'disabled')} {escape(one.disabled_why or '')}",
            f"{one.delivered:,}",
            f"{one.waiting:,}",
            f"{one.dead:,}",
            _ago(one.delivered_at, now_us),
        ]
        for one in found.outlets
    ]
    parts = [table("Outlets", columns, rows)]
    if found.failed:
        failed: list[Column] = [
            ("Outlet", "name", ""),
            ("Alert", "text", ""),
            ("State", "", ""),
            ("Tries", "number", ""),
            ("Last try", "time", ""),
            ("Next try", "time", ""),
            ("Why", "text", ""),
        ]
        cells = [
            [
                str(one.outlet_id),
                f"{escape(one.message or 'kept no more')} <small>event {one.event_id}</small>",
                pill(_DELIVERIES.get(one.state, "off"), "given up" if one.state == "dead" else "tried again"),
                f"{one.attempts:,}",
                html.time(from_datetime(one.attempted_at), zone) if one.attempted_at else "not yet",
                html.time(from_datetime(one.due_at), zone) if one.state == "waiting" else formats.UNKNOWN,
                escape(" ".join(filter(None, (str(one.http_status or ""), one.error)))),
            ]
            for one in found.failed
        ]
        parts.append(section("Not delivered in a week", table("Failed deliveries", failed, cells)))
    else:
        parts.append(note("Every delivery of the last seven days arrived, or is on its way."))
    return "".join(parts)


def run_link(run_id: str, dagster_url: str) -> str:
    """A run's page in Dagster."""
    href = escape(f"{dagster_url}/runs/{run_id}")
    return f'<a href="{href}" target="_blank" rel="noopener">{escape(run_id[:8])}</a>'


def checked(found: Checks) -> str:
    """The newest night in a line; empty where none was checked."""
    if not found.days:
        return ""
    newest = found.days[0]
    whole = newest.same + newest.repaired + newest.differs
    return (
        f"Of {newest.day:%-d %b %Y} {newest.same + newest.repaired:,} of {whole:,} markets compared are the "
        f"exchange's own; the last {CHECKED_DAYS} days are below. Every night the day before is compared."
    )


def _sizes(found: Storage, settings: Settings) -> str:
    kept = {
        "ticks": f"{settings.ticks_keep_days} days or {settings.ticks_keep_gb:g} GB",
        "price_averages": f"{AVERAGE_DAYS} days; one a minute after a week",
        "alert_events": f"{EVENT_DAYS} days",
        "stream_gaps": f"{EVENT_DAYS} days",
        "deliveries": f"{deliveries.KEEP_DAYS} days",
        "rejects": f"{REJECT_DAYS} days",
    }
    columns: list[Column] = [
        ("Table", "name", ""),
        ("Size", "number", "With its indexes and partitions"),
        ("", "wide", ""),
        ("Rows", "number", "As Postgres estimates them"),
        ("Partitions", "number", ""),
        ("Kept", "text", ""),
    ]
    largest = max((one.bytes for one in found.tables), default=0)
    rows = [
        [
            escape(one.name),
            _bytes(one.bytes),
            _bar(one.bytes, largest),
            formats.compact(float(one.rows)) if one.rows >= 1_000 else f"{one.rows:,}",
            f"{one.partitions:,}" if one.partitions else formats.UNKNOWN,
            kept.get(one.name, "for ever"),
        ]
        for one in found.tables[:MOST_TABLES]
    ]
    return table("Tables", columns, rows)


def _says(row: ServiceRow) -> str:
    """What a service's heartbeat tells, in words."""
    detail = row.detail
    if row.service == "dagster":
        runs = _mapping(detail.get("runs_24h"))
        return (
            f"{_count(runs.get('success'))} runs succeeded in 24 h, {_count(runs.get('failure'))} failed, "
            f"{_count(runs.get('under_way'))} under way"
        )
    said = [
        f"{detail[name]:,} {name}" for name in ("connections", "rules") if isinstance(detail.get(name), int)
    ]
    states = _mapping(detail.get("markets"))
    said += [f"{count:,} {state}" for state, count in states.items() if isinstance(count, int) and count]
    if detail.get("mode") == "standby":
        said.append("standby")
    return ", ".join(said)


def _found(detail: Mapping[str, Any]) -> str:
    """What a check found, in words."""
    if why := detail.get("why"):
        return str(why)
    differed = {name: detail.get(name) for name in ("before", "after")}
    told = []
    for name, words in (("after", "still differs"), ("before", "differed")):
        several = differed[name]
        if isinstance(several, list) and several:
            moments = [_opened(one) for one in several[:3]]
            more = f" and {len(several) - 3} more" if len(several) > 3 else ""
            told.append(f"{words}: {'; '.join(filter(None, moments))}{more}")
            break
    return ". ".join(told)


def _opened(one: object) -> str:
    """``00:00 ours 1 2 3 4, volume 5, theirs …``; only what differs."""
    told = _mapping(one)
    ours, theirs = told.get("ours"), told.get("theirs")
    if not (isinstance(ours, list) and isinstance(theirs, list)):
        return "theirs is not there" if isinstance(ours, list) else "ours is not there"
    names = ("open", "high", "low", "close", "volume")
    differing = [
        f"{name} {_plain(our)} here, {_plain(their)} there"
        for name, our, their in zip(names, ours, theirs, strict=False)
        if our != their
    ]
    return ", ".join(differing)


def _plain(value: object) -> str:
    return f"{value:,.8g}" if isinstance(value, int | float) else str(value)


def _oldest(gap: Mapping[str, Any], zone: tzinfo) -> str:
    start = _moment(gap.get("from"))
    if start is None:
        return "no candle is missing"
    return f"oldest: {gap.get('market')}, {formats.local(start, zone, seconds=False)}"


def _day_link(market: str, day: date) -> str:
    return f"data?view=completeness&market={market}&day={day.isoformat()}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> int | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None:
        return None
    return from_datetime(found if found.tzinfo else found.replace(tzinfo=UTC))


def _ago(moment: datetime | None, now_us: int) -> str:
    if moment is None:
        return "none yet"
    at_us = from_datetime(moment)
    return f'<time title="{escape(formats.moment(at_us))}">{formats.age(at_us, now_us)}</time>'


def _bar(value: int, largest: int) -> str:
    width = 100 * value / largest if largest else 0.0
    return f'<span class="cw-meter"><i style="width:{width:.1f}%"></i></span>'


def _age(age_s: float) -> str:
    return formats.duration(round(age_s * SECOND_US))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else formats.UNKNOWN


def _bytes(value: object) -> str:
    if not isinstance(value, int | float):
        return formats.UNKNOWN
    return formats.size(float(value)) if value else "empty"
