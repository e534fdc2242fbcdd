"""``coinwatch status``: what is running, how far behind, what is missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import URL

from app.cli.runner.parts import demo_settings
from coinwatch.formats import duration, price
from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.settings import Settings, load_settings
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, utc_day
from coinwatch.windows import Window
from warehouse.candles.coverage import missing
from warehouse.db.connect import connect, database_url, embedded, reading
from warehouse.markets import markets_by_id
from warehouse.ops.health import ServiceRow, StreamRow, read_services, read_streams
from warehouse.ops.leases import read_leases
from warehouse.ops.retention import PartitionDay, overdue, tick_days, unverified
from warehouse.trades.gap_reads import GapRow, read_gaps

FRESH_S = 10.0
"""A service or stream that has not written for longer is not running."""
OPEN_FOR_S = 30.0
"""An interruption is usually filled within this time; until then it is no fault."""
MOST_ROWS = 20
COLLECTED_AFTER_US = 10 * MINUTE_US
"""Candles younger than this may still be on their way."""


class Ticks(NamedTuple):
    """The days of trades stored, and those over the limits, with the markets they wait for."""

    days: list[PartitionDay]
    kept: dict[date, list[Market]]


def status(
    demo: Annotated[bool, typer.Option("--demo", help="Of the demo rather than the live data.")] = False,
) -> None:
    """Show what runs, its lag, and what is missing.

    Each stream is listed with its lag and last error; then the candles missing from the last 24 hours.

    Exit code 0 when all is well, 1 when nothing runs, a stream is not live or candles are missing.
    """
    settings = demo_settings(load_settings()) if demo else load_settings()
    console = Console(highlight=False, soft_wrap=True)
    server = embedded(settings)
    if server and not server.is_running():
        console.print(
            f"Coinwatch is not running: no PostgreSQL in {settings.data_dir}. Start it: coinwatch up"
        )
        raise typer.Exit(1)
    url = database_url(settings)
    with reading(url, application_name="coinwatch status") as connection:
        services, streams = read_services(connection), read_streams(connection)
        held = Counter(lease.holder for lease in read_leases(connection) if lease.expires_in_s > 0)
        interruptions = read_gaps(connection, datetime.now(UTC) - timedelta(days=1))
    gaps = asyncio.run(_gaps(url, settings))
    well = _show_services(console, services, held) and _show_streams(console, streams)
    well = _show_interruptions(console, interruptions) and well
    well = _show_gaps(console, gaps) and well
    _show_retention(console, asyncio.run(_ticks(url, settings)), settings)
    raise typer.Exit(0 if well else 1)


def _show_services(console: Console, services: list[ServiceRow], held: Counter[str]) -> bool:
    running = [service for service in services if service.age_s < FRESH_S]
    if not running:
        console.print("[yellow]No service is running.[/] Start them: coinwatch up")
        return False
    columns = ("service", "process", "running since (UTC)", "last sign of life", "leases")
    table = Table(*columns, title="Services", box=SIMPLE)
    for service in running:
        started = service.started_at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            service.service,
            service.instance,
            started,
            f"{duration(round(service.age_s * SECOND_US))} ago",
            str(held[service.instance] or ""),
        )
    console.print(table)
    return True


def _show_streams(console: Console, streams: list[StreamRow]) -> bool:
    table = Table(title="Streams", box=SIMPLE)
    table.add_column("market", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for column in ("last price", "lag", "stored", "recovered", "twice", "reconnects"):
        table.add_column(column, justify="right", no_wrap=True)
    well = True
    for stream in streams:
        written = stream.age_s < FRESH_S
        live = written and stream.state == "live"
        well = well and (live or stream.state == "stopped")
        table.add_row(
            str(stream.market),
            f"[green]{stream.state}[/]"
            if live
            else f"[yellow]{stream.state if written else 'not running'}[/]",
            price(stream.last_price),
            "" if stream.lag_ms is None else f"{stream.lag_ms:.0f} ms",
            f"{stream.trades:,}",
            f"{stream.recovered:,}",
            f"{stream.duplicates:,}",
            str(stream.reconnects),
        )
    console.print(table)
    errors = {
        (stream.market.exchange, stream.last_error): stream.last_error_at
        for stream in streams
        if stream.last_error and stream.last_error_at
    }
    for (exchange, error), at in sorted(errors.items()):
        console.print(f"  {at:%Y-%m-%d %H:%M:%S} {exchange}: {escape(error)}")
    return well


def _show_interruptions(console: Console, rows: list[GapRow]) -> bool:
    """What the ledger says of the last 24 hours. False when trades are missing, or may be."""
    recovered = sum(row.recovered for row in rows)
    told = f"Interruptions of the last 24 hours: {len(rows):,}, {recovered:,} trades recovered"
    amiss = [row for row in rows if row.state != "filled" and row.cause != "not wanted"]
    if not amiss:
        console.print(f"{told}, nothing missing.")
        return True
    console.print(f"[yellow]{told}; not whole:[/]")
    for row in amiss[:MOST_ROWS]:
        until = "now" if row.before_ts is None else f"{row.before_ts:%H:%M:%S}"
        why = f": {escape(row.reason)}" if row.reason else ""
        console.print(
            f"  {row.market} {row.after_ts:%Y-%m-%d %H:%M:%S} to {until}, {row.cause}, {row.state}{why}"
        )
    if len(amiss) > MOST_ROWS:
        console.print(f"  and {len(amiss) - MOST_ROWS:,} more, in v_stream_gaps")
    return all(row.state == "open" and row.age_s < OPEN_FOR_S for row in amiss)


def _show_gaps(console: Console, gaps: dict[Market, int]) -> bool:
    if not gaps:
        console.print("Candles: none of the last 24 hours is missing.")
        return True
    console.print(
        f"[yellow]Candles: {sum(gaps.values()):,} minutes of the last 24 hours are not collected:[/]"
    )
    for market, minutes in sorted(gaps.items()):
        console.print(f"  {market}: {minutes:,} min")
    return False


def _show_retention(console: Console, ticks: Ticks, settings: Settings) -> None:
    gigabytes = sum(day.bytes for day in ticks.days) / 1e9
    since = f" since {ticks.days[0].day}" if ticks.days else ""
    console.print(
        f"Trades: {gigabytes:,.2f} GB{since}; kept for {settings.ticks_keep_days} days "
        f"or {settings.ticks_keep_gb:g} GB."
    )
    for day, lacking in ticks.kept.items():
        markets = ", ".join(map(str, lacking[:MOST_ROWS]))
        console.print(f"  [yellow]{day} is over that and stays until its candles are complete:[/] {markets}")


async def _ticks(url: URL, settings: Settings) -> Ticks:
    async with await connect(url, application_name="coinwatch status") as connection:
        days = await tick_days(connection)
        due = overdue(days, utc_day(now_us()), settings.ticks_keep_days, round(settings.ticks_keep_gb * 1e9))
        lacking = {day.day: list(await unverified(connection, day.day)) for day in due}
    return Ticks(days, {day: markets for day, markets in lacking.items() if markets})


async def _gaps(url: URL, settings: Settings) -> dict[Market, int]:
    """Minutes of the last 24 hours without verified candles, by configured market."""
    end_us = Interval.M1.floor(now_us() - COLLECTED_AFTER_US)
    async with await connect(url, application_name="coinwatch status") as connection:
        markets = await markets_by_id(connection)
        wanted = [market_id for market_id, market in markets.items() if market in settings.markets]
        holes = await missing(connection, wanted, Interval.M1, Window(end_us - DAY_US, end_us))
    return {
        markets[market_id]: sum(window.length_us for window in windows) // MINUTE_US
        for market_id, windows in holes.items()
    }
