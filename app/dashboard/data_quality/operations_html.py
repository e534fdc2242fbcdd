"""The HTML of operations: services, Dagster, candle checks, storage, outlets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from markupsafe import Markup

from app.dashboard.data_quality.reads import CHECKED_DAYS, Checks, Outlets, Storage
from app.dashboard.ui.problems import is_silent
from app.dashboard.ui.templates import render
from coinwatch import formats
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, from_datetime
from warehouse.ops.budgets import MonthOfCalls
from warehouse.ops.disks import Disk, disks_in
from warehouse.ops.health import ServiceRow
from warehouse.ops.retention import AVERAGE_DAYS, EVENT_DAYS, REJECT_DAYS, overdue

MOST_TABLES = 12
MOST_TICK_DAYS = 14

_CHECK_PILLS = {"same": "ok", "repaired": "warn", "differs": "bad", "incomplete": "off"}


def services(rows: Sequence[ServiceRow], calls: Sequence[MonthOfCalls], zone: tzinfo) -> Markup:
    """The services with their heartbeats, and the API calls of this month by provider."""
    states = [
        {
            "row": row,
            "is_silent": is_silent(row),
            "age": _age(row.age_s),
            "queue": _count(row.detail.get("queue")),
            "spool": _bytes(row.detail.get("spool_bytes")),
            "details": _details(row),
        }
        for row in rows
    ]
    return render("data_quality/services.html.j2", services=states, calls=calls, zone=zone)


def dagster(row: ServiceRow, dagster_url: str, zone: tzinfo) -> Markup:
    """Dagster's last day from its heartbeat: runs, the last failure, the oldest missing candle."""
    runs, failure, gap = (
        _mapping(row.detail.get(name)) for name in ("runs_24h", "last_failure", "oldest_gap")
    )
    age = _age(row.age_s)
    heartbeat = f"no heartbeat for {age}" if is_silent(row) else f"heartbeat {age} ago"
    tiles = (
        ("Runs in 24 h", f"{_count(runs.get('success'))} succeeded", heartbeat),
        ("Failed in 24 h", _count(runs.get("failure")), f"{_count(runs.get('canceled'))} canceled"),
        ("In progress", _count(runs.get("under_way")), "queued or running"),
        ("Markets with missing candles", _count(gap.get("markets_with_gaps", 0)), _oldest(gap, zone)),
    )
    last_failure = {
        "job": str(failure.get("job", "")),
        "run_id": str(failure.get("run_id", "")),
        "at_us": _moment_us(failure.get("at")),
        "error": str(failure.get("text", "")),
    }
    return render(
        "data_quality/dagster.html.j2",
        tiles=tiles,
        failure=last_failure if failure else None,
        dagster_url=dagster_url,
        zone=zone,
    )


def checks(results: Checks, zone: tzinfo) -> Markup:
    """How stored candles compare with the exchanges' daily candles: a summary, days, and mismatches."""
    mismatches = [
        {
            "row": row,
            "day": f"{row.day:%-d %b %Y}",
            "address": f"data?view=completeness&market={row.market}&day={row.day.isoformat()}",
            "kind": _CHECK_PILLS.get(row.state, "off"),
            "details": _differences(row.detail),
        }
        for row in results.mismatches
    ]
    days = [(f"{row.day:%-d %b %Y}", row) for row in results.days]
    return render(
        "data_quality/checks.html.j2",
        summary=checks_summary(results),
        days=days,
        mismatches=mismatches,
        zone=zone,
    )


def checks_summary(results: Checks) -> str:
    """The checks of the newest night in a line; empty without any."""
    if not results.days:
        return ""
    newest = results.days[0]
    compared = newest.same + newest.repaired + newest.differs
    return (
        f"{newest.day:%-d %b %Y}: {newest.same + newest.repaired:,} of {compared:,} markets compared match "
        f"the exchange's daily candle. The previous day is compared every night; below are the last "
        f"{CHECKED_DAYS} days."
    )


def storage(stored: Storage, settings: Settings, today: date) -> Markup:
    """What is stored, how long it is kept, and what is dropped next."""
    limit = round(settings.ticks_keep_gb * 1e9)
    ticks = sum(day.bytes for day in stored.tick_days)
    oldest = f"since {stored.tick_days[0].day:%-d %b %Y}" if stored.tick_days else "none stored"
    tiles = [
        ("Database", _bytes(stored.database), "tables and indexes"),
        ("Trades", _bytes(ticks), f"of at most {_bytes(limit)}, {oldest}"),
        ("Dagster's database", _bytes(stored.dagster), "runs and their events"),
    ]
    tiles += [("Free on disk", formats.size(disk.free_bytes), _of_disk(disk)) for disk in stored.disks]
    largest = max((day.bytes for day in stored.tick_days), default=0)
    return render(
        "data_quality/storage.html.j2",
        tiles=tiles,
        share=min(1.0, ticks / limit) if limit else 0.0,
        retention=_retention(stored, settings, today, limit),
        tables=_tables(stored, settings),
        tick_days=[
            {"day": f"{day.day:%-d %b %Y}", "size": _bytes(day.bytes), "share": _share(day.bytes, largest)}
            for day in reversed(stored.tick_days[-MOST_TICK_DAYS:])
        ],
    )


def outlets(state: Outlets, zone: tzinfo, now_us: int) -> Markup:
    """The outlets of all clients, and the deliveries of a week that failed."""
    failed = [
        {
            "row": row,
            "is_final": row.state == "dead",
            "error": " ".join(filter(None, (str(row.http_status or ""), row.error))),
        }
        for row in state.failed
    ]
    return render(
        "data_quality/outlets.html.j2", outlets=state.outlets, failed=failed, zone=zone, now_us=now_us
    )


def _retention(stored: Storage, settings: Settings, today: date, limit: int) -> str:
    due = overdue(stored.tick_days, today, settings.ticks_keep_days, limit)
    if due:
        next_drop = (
            f"{len(due)} {'day' if len(due) == 1 else 'days'} of trades "
            f"({_bytes(sum(day.bytes for day in due))}) exceed these limits and are dropped at 04:23 UTC, "
            "each once its candles are verified."
        )
    else:
        next_drop = "No day of trades exceeds these limits."
    return (
        f"Trades are kept for {settings.ticks_keep_days} days or {settings.ticks_keep_gb:g} GB, whichever is "
        f"less; candles are kept forever. {next_drop} Settings: COINWATCH_TICKS_KEEP_DAYS and "
        "COINWATCH_TICKS_KEEP_GB."
    )


def _of_disk(disk: Disk) -> str:
    low = "low: " if disk.is_low else ""
    return f"{low}of {formats.size(disk.size_bytes)}, for {formats.names(disk.stores)}"


def _tables(stored: Storage, settings: Settings) -> list[dict[str, Any]]:
    kept = {
        "ticks": f"{settings.ticks_keep_days} days or {settings.ticks_keep_gb:g} GB",
        "price_averages": f"{AVERAGE_DAYS} days; one a minute after a week",
        "alert_events": f"{EVENT_DAYS} days",
        "stream_gaps": f"{EVENT_DAYS} days",
        "deliveries": f"{EVENT_DAYS} days",
        "rejects": f"{REJECT_DAYS} days",
    }
    largest = max((table.bytes for table in stored.tables), default=0)
    return [
        {
            "name": table.name,
            "size": _bytes(table.bytes),
            "share": _share(table.bytes, largest),
            "rows": formats.compact(float(table.rows)) if table.rows >= 1_000 else f"{table.rows:,}",
            "partitions": table.partitions,
            "kept": kept.get(table.name, "forever"),
        }
        for table in stored.tables[:MOST_TABLES]
    ]


def _details(row: ServiceRow) -> str:
    """The remaining details of a heartbeat, in words."""
    detail = row.detail
    if row.service == "dagster":
        runs = _mapping(detail.get("runs_24h"))
        return (
            f"runs in 24 h: {_count(runs.get('success'))} succeeded, {_count(runs.get('failure'))} failed, "
            f"{_count(runs.get('under_way'))} in progress"
        )
    counts = [
        f"{detail[name]:,} {name}" for name in ("connections", "rules") if isinstance(detail.get(name), int)
    ]
    counts += [
        f"{formats.size(disk.free_bytes)} free for {formats.names(disk.stores)}" for disk in disks_in(detail)
    ]
    states = _mapping(detail.get("markets"))
    counts += [f"{count:,} {state}" for state, count in states.items() if isinstance(count, int) and count]
    if detail.get("mode") == "standby":
        counts.append("standby")
    return ", ".join(counts)


def _differences(detail: Mapping[str, Any]) -> str:
    """What a check detected, in words: minutes that still differ, else those that were corrected."""
    if why := detail.get("why"):
        return str(why)
    for name, words in (("after", "still differs"), ("before", "differed")):
        minutes = detail.get(name)
        if isinstance(minutes, list) and minutes:
            described = [_difference(minute) for minute in minutes[:3]]
            more = f" and {len(minutes) - 3} more" if len(minutes) > 3 else ""
            return f"{words}: {'; '.join(filter(None, described))}{more}"
    return ""


def _difference(minute: object) -> str:
    """The values of a candle that differ: ``volume 5.25 stored, 5.5 at the exchange``."""
    ours, theirs = _mapping(minute).get("ours"), _mapping(minute).get("theirs")
    if not isinstance(ours, list):
        return "not stored"
    if not isinstance(theirs, list):
        return "missing at the exchange"
    names = ("open", "high", "low", "close", "volume")
    return ", ".join(
        f"{name} {_plain(our)} stored, {_plain(their)} at the exchange"
        for name, our, their in zip(names, ours, theirs, strict=False)
        if our != their
    )


def _plain(value: object) -> str:
    return f"{value:,.8g}" if isinstance(value, int | float) else str(value)


def _oldest(gap: Mapping[str, Any], zone: tzinfo) -> str:
    start_us = _moment_us(gap.get("from"))
    if start_us is None:
        return "no candles are missing"
    return f"oldest: {gap.get('market')}, {formats.local(start_us, zone, seconds=False)}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment_us(value: object) -> int | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _share(value: int, largest: int) -> float:
    return value / largest if largest else 0.0


def _age(age_s: float) -> str:
    return formats.duration(round(age_s * SECOND_US))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else formats.UNKNOWN


def _bytes(value: object) -> str:
    if not isinstance(value, int | float):
        return formats.UNKNOWN
    return formats.size(float(value)) if value else "empty"
