"""``coinwatch status``: what is running, how far behind, and what is missing."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape

from app.cli.commands.status_report import local_disks, read_status
from app.cli.demo import command_settings
from app.cli.errors import NotRunning
from app.cli.exit_codes import ExitCode
from app.cli.output import AsJson, Demo, console, print_json, table
from app.cli.shapes import Disk, MissingCandles, Service, Status, StoredTrades, Stream, StreamGaps
from coinwatch.formats import duration, names, price, size
from coinwatch.times import SECOND_US
from warehouse.db.connect import database_url, embedded

MAX_ROWS = 20


def status(demo: Demo = False, as_json: AsJson = False) -> None:
    """Show running services, streams and missing data.

    Each stream is listed with its lag and last error, followed by stream gaps and missing candles of the
    last 24 hours, and by disks with low space.

    Exit code 0 when everything is healthy; 1 when no service is running, a service reports a problem, a
    stream is not live, data is missing or disk space is low.
    """
    settings = command_settings(demo=demo)
    server = embedded(settings)
    if server and not server.is_running():
        problem = NotRunning(
            f"Coinwatch is not running: no PostgreSQL in {settings.data_dir}",
            f"start it with: coinwatch up{' --demo' if demo else ''}",
        )
        if as_json:
            raise problem
        typer.echo(problem)  # a state like any other for people, so not on stderr
        _print_low_disks(console(), local_disks(settings))
        raise typer.Exit(ExitCode.FAILED)
    report = read_status(database_url(settings), settings)
    if as_json:
        print_json(report)
    else:
        _print(console(), report, demo=demo)
    raise typer.Exit(ExitCode.OK if report.healthy else ExitCode.FAILED)


def _print(terminal: Console, report: Status, *, demo: bool) -> None:
    if report.services:
        _print_services(terminal, report.services)
    else:
        flag = " --demo" if demo else ""
        terminal.print(f"[yellow]No service is running.[/] Start all with: coinwatch up{flag}")
    _print_streams(terminal, report.streams)
    _print_stream_gaps(terminal, report.stream_gaps)
    _print_missing_candles(terminal, report.missing_candles)
    _print_stored_trades(terminal, report.trades)
    _print_low_disks(terminal, report.disks)


def _print_services(terminal: Console, services: list[Service]) -> None:
    shown = table("service", "process", "running since (UTC)", "last heartbeat", "leases", title="Services")
    for service in services:
        shown.add_row(
            service.service,
            service.instance,
            f"{service.started_at:%Y-%m-%d %H:%M:%S}",
            f"{duration(round(service.heartbeat_age_s * SECOND_US))} ago",
            str(service.leases or ""),
        )
    terminal.print(shown)
    for service in services:
        for problem in service.problems:
            terminal.print(f"  [yellow]{service.service}: {escape(problem)}[/]")


def _print_streams(terminal: Console, streams: list[Stream]) -> None:
    numbers = ("last price", "lag", "stored", "recovered", "duplicates", "reconnects")
    shown = table("market", "state", *numbers, title="Streams", right=numbers)
    for stream in streams:
        is_live = stream.running and stream.state == "live"
        state = stream.state if stream.running else "not running"
        shown.add_row(
            stream.market,
            f"[green]{state}[/]" if is_live else f"[yellow]{state}[/]",
            price(stream.last_price),
            "" if stream.lag_ms is None else f"{stream.lag_ms:.0f} ms",
            f"{stream.trades:,}",
            f"{stream.recovered:,}",
            f"{stream.duplicates:,}",
            str(stream.reconnects),
        )
    terminal.print(shown)
    errors = {
        (stream.market.partition(":")[0], stream.last_error): stream.last_error_at
        for stream in streams
        if stream.last_error and stream.last_error_at
    }
    for (exchange, error), at in sorted(errors.items()):
        terminal.print(f"  {at:%Y-%m-%d %H:%M:%S} {exchange}: {escape(error)}")


def _print_stream_gaps(terminal: Console, gaps: StreamGaps) -> None:
    text = f"Stream gaps (24 h): {gaps.count:,}, {gaps.recovered_trades:,} trades recovered"
    if not gaps.incomplete:
        terminal.print(f"{text}, none missing.")
        return
    terminal.print(f"[yellow]{text}; {len(gaps.incomplete):,} incomplete:[/]")
    for gap in gaps.incomplete[:MAX_ROWS]:
        end = "now" if gap.before is None else f"{gap.before:%H:%M:%S}"
        reason = f": {escape(gap.reason)}" if gap.reason else ""
        terminal.print(
            f"  {gap.market} {gap.after:%Y-%m-%d %H:%M:%S} to {end}, {gap.cause}, {gap.state}{reason}"
        )
    if len(gaps.incomplete) > MAX_ROWS:
        terminal.print(f"  and {len(gaps.incomplete) - MAX_ROWS:,} more, in v_stream_gaps")


def _print_missing_candles(terminal: Console, ranges: list[MissingCandles]) -> None:
    if not ranges:
        terminal.print("Candles (24 h): none missing.")
        return
    total = sum(row.minutes for row in ranges)
    terminal.print(f"[yellow]Candles (24 h): {total:,} minutes missing:[/]")
    for row in ranges:
        terminal.print(f"  {row.market}: {row.minutes:,} min")


def _print_stored_trades(terminal: Console, trades: StoredTrades) -> None:
    since = f" since {trades.since}" if trades.since else ""
    terminal.print(
        f"Trades: {trades.bytes / 1e9:,.2f} GB{since}; kept for {trades.keep_days} days "
        f"or {trades.keep_gb:g} GB."
    )
    for day in trades.overdue_days:
        markets = ", ".join(day.markets[:MAX_ROWS])
        terminal.print(
            f"  [yellow]{day.day} exceeds this and is kept until its candles are complete:[/] {markets}"
        )


def _print_low_disks(terminal: Console, disks: list[Disk]) -> None:
    for disk in disks:
        if disk.low:
            terminal.print(
                f"[yellow]Disk space is low: {size(disk.free_bytes)} of {size(disk.size_bytes)} left for "
                f"{names(disk.stores)} in {escape(disk.path)} on {disk.host}.[/]"
            )
