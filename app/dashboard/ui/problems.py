"""Everything that is wrong, as sentences, the newest first. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coinwatch import formats, liveness
from coinwatch.health.problems import problems_in
from coinwatch.liveness import GAP_PATIENCE_S, SILENT_S
from coinwatch.times import SECOND_US, from_datetime
from warehouse.ops.budgets import MonthOfCalls
from warehouse.ops.dagster import Run
from warehouse.ops.disks import disks_in
from warehouse.ops.health import ServiceRow, StreamRow, StreamState
from warehouse.ops.reads import OutletRow
from warehouse.trades.gap_reads import GapRow

SPENT = 0.8
"""A monthly budget of API calls spent this far is a problem."""

RUN_FAILED = ("FAILURE",)


@dataclass(frozen=True)
class Problem:
    is_current: bool
    """Whether it needs attention now; else it is over."""
    where: str
    """A market, a service, a job, a provider."""
    what: str
    at_us: int | None = None
    run_id: str | None = None
    """Of Dagster, where a run failed."""


def find(
    streams: Iterable[StreamRow],
    services: Sequence[ServiceRow],
    gaps: Iterable[GapRow],
    calls: Iterable[MonthOfCalls],
    runs: Iterable[Run],
    outlets: Iterable[OutletRow] = (),
    *,
    now_us: int,
) -> tuple[Problem, ...]:
    """Current problems, then past ones, each the newest first."""
    problems = [
        *_of_services(services, now_us),
        *_of_streams(streams),
        *_of_gaps(gaps),
        *_of_calls(calls),
        *_of_runs(runs),
        *_of_outlets(outlets),
    ]
    return tuple(sorted(problems, key=lambda problem: (not problem.is_current, -(problem.at_us or now_us))))


def is_silent(row: ServiceRow) -> bool:
    """Whether the service is not running: it has not reported for too long."""
    return liveness.is_silent(row.service, row.age_s)


def _of_services(services: Sequence[ServiceRow], now_us: int) -> Iterable[Problem]:
    alive = {row.service for row in services if not is_silent(row)}
    for row in services:
        spool_bytes = row.detail.get("spool_bytes")
        if is_silent(row):
            if row.service not in alive:
                alive.add(row.service)  # one line per service: its newest heartbeat
                silent_us = round(row.age_s * SECOND_US)
                yield Problem(
                    True,
                    row.service,
                    f"no heartbeat for {formats.duration(silent_us)}",
                    now_us - silent_us,
                )
            continue
        if isinstance(spool_bytes, int | float) and spool_bytes > 0:
            waiting = f"{formats.size(float(spool_bytes))} of trades are spooled until the database answers"
            yield Problem(True, row.service, waiting)
        for problem in problems_in(row.detail):
            yield Problem(True, row.service, problem.message)
        for disk in disks_in(row.detail):
            if disk.is_low:
                yield Problem(True, row.service, f"disk space is low: {disk}")


def _of_streams(streams: Iterable[StreamRow]) -> Iterable[Problem]:
    for row in streams:
        error = f": {row.last_error}" if row.last_error else ""
        at_us = from_datetime(row.last_error_at) if row.last_error_at else None
        if row.state is StreamState.STOPPED:
            continue
        if row.age_s > SILENT_S:
            words = f"no daemon has reported this stream for {formats.duration(round(row.age_s * SECOND_US))}"
            yield Problem(True, str(row.market), words)
        elif row.state is not StreamState.LIVE:
            yield Problem(True, str(row.market), f"stream {row.state}{error}", at_us)
        elif row.last_error and at_us is not None:
            yield Problem(False, str(row.market), row.last_error, at_us)


def _of_gaps(gaps: Iterable[GapRow]) -> Iterable[Problem]:
    for row in gaps:
        at_us = from_datetime(row.opened_at)
        why = f": {row.reason}" if row.reason else ""
        if row.state == "open" and row.age_s > GAP_PATIENCE_S:
            since = formats.duration(round(row.age_s * SECOND_US))
            words = f"stream gap ({row.cause}) not filled for {since}{why}"
            yield Problem(True, str(row.market), words, at_us)
        elif row.state == "unfillable":
            yield Problem(False, str(row.market), f"trades lost for good ({row.cause}){why}", at_us)


def _of_calls(calls: Iterable[MonthOfCalls]) -> Iterable[Problem]:
    for month in calls:
        if month.allowed and month.calls >= SPENT * month.allowed:
            words = f"{month.calls:,} of {month.allowed:,} calls of this month are used ({month.scope})"
            yield Problem(True, month.host, words)


def _of_runs(runs: Iterable[Run]) -> Iterable[Problem]:
    latest: set[tuple[str, str]] = set()
    for run in runs:  # the newest first: a later success resolves a failure
        is_latest = (run.job, run.partition) not in latest
        if run.ended is not None:
            latest.add((run.job, run.partition))
        if run.status in RUN_FAILED:
            at_us = from_datetime(run.ended or run.created)
            partition = f" of {run.partition}" if run.partition else ""
            why = f": {run.why}" if run.why else ""
            yield Problem(is_latest, run.job, f"Dagster run{partition} failed{why}", at_us, run.run_id)


def _of_outlets(outlets: Iterable[OutletRow]) -> Iterable[Problem]:
    for outlet in outlets:
        where = f"outlet {outlet.id} of {outlet.client}"
        if outlet.disabled_at is not None:
            words = f"disabled, so it receives no alerts: {outlet.disabled_why or 'unknown reason'}"
            yield Problem(True, where, words, from_datetime(outlet.disabled_at))
        elif outlet.dead:
            alerts = "1 alert was" if outlet.dead == 1 else f"{outlet.dead:,} alerts were"
            yield Problem(True, where, f"{alerts} given up in a week; see Outlets")


def by_kind(problems: Sequence[Problem]) -> tuple[tuple[str, str], ...]:
    """(where, what) of each kind of problem: those that differ only in place and in numbers are one."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(re.sub(r"[\d.]+", "", problem.what), []).append(problem)
    return tuple(
        (first.where if not others else f"{first.where} and {len(others)} more", first.what)
        for first, *others in kinds.values()
    )
