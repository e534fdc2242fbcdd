"""What ``coinwatch status`` reads, and when the result is healthy."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import URL

from app.cli.shapes import (
    Disk,
    MissingCandles,
    OverdueDay,
    Service,
    Status,
    StoredTrades,
    Stream,
    StreamGap,
    StreamGaps,
)
from coinwatch.health.problems import problems_in
from coinwatch.intervals import Interval
from coinwatch.liveness import GAP_PATIENCE_S, SILENT_S
from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, now_us, utc_day
from coinwatch.windows import Window
from warehouse.candles.coverage import missing
from warehouse.db.connect import reading, session
from warehouse.markets import markets_by_id
from warehouse.ops.disks import Disk as MeasuredDisk
from warehouse.ops.disks import disks_in, read_disks
from warehouse.ops.health import ServiceRow, StreamRow, read_services, read_streams
from warehouse.ops.leases import read_leases
from warehouse.ops.retention import PartitionDay, overdue, tick_days, unverified
from warehouse.trades.gap_reads import GapRow, read_gaps

COLLECTED_AFTER_US = 10 * MINUTE_US
"""Candles younger than this may not be collected yet."""


def read_status(url: URL, settings: Settings) -> Status:
    """Read everything ``coinwatch status`` prints. Raises WarehouseError."""
    with reading(url, application_name="coinwatch status") as connection:
        services, streams = read_services(connection), read_streams(connection)
        leases = Counter(lease.holder for lease in read_leases(connection) if lease.expires_in_s > 0)
        gaps = read_gaps(connection, datetime.now(UTC) - timedelta(days=1))
    running = [_service(row, leases) for row in services if row.age_s <= SILENT_S]
    disks = local_disks(settings) + _reported_disks(services)
    shown = [_stream(row) for row in streams]
    missing_candles = asyncio.run(_missing_candles(url, settings))
    incomplete = [row for row in gaps if row.state != "filled" and row.cause != "not wanted"]
    return Status(
        healthy=bool(running)
        and all(_is_well(stream) for stream in shown)
        and all(row.state == "open" and row.age_s < GAP_PATIENCE_S for row in incomplete)
        and not missing_candles
        and not any(service.problems for service in running)
        and not any(disk.low for disk in disks),
        services=running,
        streams=shown,
        stream_gaps=StreamGaps(
            count=len(gaps),
            recovered_trades=sum(row.recovered for row in gaps),
            incomplete=[_gap(row) for row in incomplete],
        ),
        missing_candles=missing_candles,
        trades=asyncio.run(_stored_trades(url, settings)),
        disks=disks,
    )


def local_disks(settings: Settings) -> list[Disk]:
    """The disks of the data folder on this machine; empty without a data folder."""
    return [_disk(socket.gethostname(), disk) for disk in read_disks(settings)]


def _reported_disks(services: Iterable[ServiceRow]) -> list[Disk]:
    """The disks that daemons on other machines report."""
    disks = {
        (host, disk.path): _disk(host, disk)
        for row in services
        if row.age_s <= SILENT_S and (host := row.instance.partition(":")[0]) != socket.gethostname()
        for disk in disks_in(row.detail)
    }
    return list(disks.values())


def _disk(host: str, disk: MeasuredDisk) -> Disk:
    return Disk(
        host=host,
        path=disk.path,
        stores=list(disk.stores),
        free_bytes=disk.free_bytes,
        size_bytes=disk.size_bytes,
        low=disk.is_low,
    )


def _is_well(stream: Stream) -> bool:
    return stream.state == "stopped" or (stream.running and stream.state == "live")


def _service(row: ServiceRow, leases: Counter[str]) -> Service:
    return Service(
        service=row.service,
        instance=row.instance,
        started_at=row.started_at,
        heartbeat_age_s=row.age_s,
        leases=leases[row.instance],
        problems=[problem.message for problem in problems_in(row.detail)],
    )


def _stream(row: StreamRow) -> Stream:
    return Stream(
        market=str(row.market),
        state=row.state,
        running=row.age_s <= SILENT_S,
        last_price=row.last_price,
        lag_ms=row.lag_ms,
        trades=row.trades,
        recovered=row.recovered,
        duplicates=row.duplicates,
        reconnects=row.reconnects,
        last_error=row.last_error,
        last_error_at=row.last_error_at,
    )


def _gap(row: GapRow) -> StreamGap:
    return StreamGap(
        market=str(row.market),
        after=row.after_ts,
        before=row.before_ts,
        cause=row.cause,
        state=row.state,
        reason=row.reason,
        age_s=row.age_s,
    )


async def _stored_trades(url: URL, settings: Settings) -> StoredTrades:
    async with session(url, application_name="coinwatch status") as connection:
        days: list[PartitionDay] = await tick_days(connection)
        due = overdue(days, utc_day(now_us()), settings.ticks_keep_days, round(settings.ticks_keep_gb * 1e9))
        incomplete: dict[date, list[Market]] = {
            day.day: list(await unverified(connection, day.day)) for day in due
        }
    return StoredTrades(
        bytes=sum(day.bytes for day in days),
        since=days[0].day if days else None,
        keep_days=settings.ticks_keep_days,
        keep_gb=settings.ticks_keep_gb,
        overdue_days=[
            OverdueDay(day=day, markets=[str(market) for market in markets])
            for day, markets in incomplete.items()
            if markets
        ],
    )


async def _missing_candles(url: URL, settings: Settings) -> list[MissingCandles]:
    """Minutes of the last 24 hours without verified candles, by configured market."""
    end_us = Interval.M1.floor(now_us() - COLLECTED_AFTER_US)
    async with session(url, application_name="coinwatch status") as connection:
        markets = await markets_by_id(connection)
        wanted = [market_id for market_id, market in markets.items() if market in settings.markets]
        ranges = await missing(connection, wanted, Interval.M1, Window(end_us - DAY_US, end_us))
    minutes = {
        markets[market_id]: sum(window.length_us for window in windows) // MINUTE_US
        for market_id, windows in ranges.items()
    }
    return [MissingCandles(market=str(market), minutes=count) for market, count in sorted(minutes.items())]
