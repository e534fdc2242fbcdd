"""What only the Data page reads from the warehouse: coverage, runs, checks, storage, outlets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import WEEK_US, DashboardReads
from coinwatch.times import DAY_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.candles import coverage_reads
from warehouse.ops import reads
from warehouse.ops.dagster import DAGSTER_DATABASE, Run, last_runs
from warehouse.ops.disks import Disk, read_disks
from warehouse.ops.retention import PartitionDay

CHECKED_DAYS = 30
MOST_RUNS = 60


class Coverage(NamedTuple):
    """How complete the candles of ``window`` are."""

    window: Window
    days: tuple[coverage_reads.DayCoverage, ...]
    missing: tuple[coverage_reads.Hole, ...]
    """Missing and unavailable ranges."""


class Checks(NamedTuple):
    """How stored candles of a month compare with the exchanges' daily candles."""

    days: tuple[reads.ChecksOfDay, ...]
    mismatches: tuple[reads.CheckRow, ...]


class Storage(NamedTuple):
    """Sizes in bytes."""

    database: int
    dagster: int | None
    """None when we may not read it."""
    disks: tuple[Disk, ...]
    """Of the data folder on the dashboard's machine."""
    tables: tuple[reads.TableSize, ...]
    tick_days: tuple[PartitionDay, ...]


class Outlets(NamedTuple):
    """The outlets of all clients, and the deliveries of a week that failed."""

    outlets: tuple[reads.OutletRow, ...]
    failed: tuple[reads.FailedDelivery, ...]


def coverage(source: DashboardReads, market_ids: Sequence[int], days: int) -> Reading[Coverage]:
    """How complete the candles of the last ``days`` UTC days are, today included, and what is missing."""

    def ask(conn: Connection) -> Coverage:
        at_us = now_us()
        end_us = day_start_us(utc_day(at_us)) + DAY_US
        window = Window(end_us - days * DAY_US, end_us)
        return Coverage(
            window,
            coverage_reads.coverage_by_day(conn, market_ids, window, at_us),
            coverage_reads.holes(conn, market_ids, window, at_us),
        )

    return source.read(("coverage", days, *market_ids), ask, 20)


def runs(source: DashboardReads) -> Reading[tuple[Run, ...]]:
    """Dagster's last runs, newest first."""
    return source.read_dagster(("runs",), lambda conn: last_runs(conn, MOST_RUNS), 10)


def traded(
    source: DashboardReads, market_ids: Sequence[int], days: int
) -> Reading[tuple[coverage_reads.DayTraded, ...]]:
    """The verified minutes with trades of the last ``days`` UTC days, today included."""

    def ask(conn: Connection) -> tuple[coverage_reads.DayTraded, ...]:
        end_us = day_start_us(utc_day(now_us())) + DAY_US
        return coverage_reads.traded_by_day(conn, market_ids, Window(end_us - days * DAY_US, end_us))

    return source.read(("traded", days, *market_ids), ask, 120)


def minutes(source: DashboardReads, market_id: int, day: date) -> Reading[coverage_reads.DayMinutes]:
    """Each minute of a market's UTC day."""
    window = Window(day_start_us(day), day_start_us(day) + DAY_US)
    return source.read(
        ("minutes", market_id, day),
        lambda conn: coverage_reads.day_minutes(conn, market_id, window, now_us()),
        20,
    )


def checks(source: DashboardReads, market_ids: Sequence[int]) -> Reading[Checks]:
    """The checks of the last ``CHECKED_DAYS`` days."""

    def ask(conn: Connection) -> Checks:
        first = utc_day(now_us()) - timedelta(days=CHECKED_DAYS)
        return Checks(reads.days_checked(conn, market_ids, first), reads.checks(conn, market_ids, first))

    return source.read(("checks", *market_ids), ask, 60)


def storage(source: DashboardReads) -> Reading[Storage]:
    """The sizes of databases, tables and days of trades."""

    def ask(conn: Connection) -> Storage:
        return Storage(
            reads.database_bytes(conn),
            reads.other_database_bytes(conn, DAGSTER_DATABASE),
            read_disks(source.settings),
            reads.table_sizes(conn),
            reads.tick_days(conn),
        )

    return source.read(("storage",), ask, 60)


def outlets(source: DashboardReads) -> Reading[Outlets]:
    """The outlets of all clients."""

    def ask(conn: Connection) -> Outlets:
        since = to_datetime(now_us() - WEEK_US)
        return Outlets(reads.outlets(conn, since), reads.failed_deliveries(conn, since))

    return source.read(("all outlets",), ask, 10)
