"""``coinwatch up``: the whole stack under one supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.runner.parts import PROJECT, demo_environment, free_port, ports, waves, write_workspace
from app.cli.runner.supervisor import Part, Say, Supervisor
from coinwatch.errors import CoinwatchError, SettingsError
from coinwatch.settings import Settings, load_settings
from warehouse.db.connect import database_url, embedded
from warehouse.db.migrate import upgrade
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.ops.dagster import DAGSTER_DATABASE

POSTGRES_CHECK_S = 2.0
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Simulated exchanges: no network, no keys, its own data folder.")
    ] = False,
) -> None:
    """Start everything; Ctrl-C stops it.

    Everything is Postgres, the ingest daemon, the alert endpoint, Dagster and the dashboard.
    A part that dies is started again.
    """
    if demo:
        os.environ.update(demo_environment(load_settings()))
    settings = load_settings()
    check_ports(settings.host, ports(settings, demo=demo))
    asyncio.run(_run(settings, demo=demo))


def check_ports(host: str, wanted: Mapping[str, int]) -> None:
    """Raise SettingsError naming every port of ``wanted`` that is taken, and the setting that moves it."""
    taken = [f"port {port} is in use ({setting})" for setting, port in wanted.items() if _busy(host, port)]
    if taken:
        raise SettingsError(f"{'; '.join(taken)}. Stop what uses it, or set another port.")


def _busy(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise SettingsError(f"port {port} on {host} needs more rights: choose one above 1023") from None
        except OSError:
            return True
    return False


async def _run(settings: Settings, *, demo: bool) -> None:
    console = _Terminal(highlight=False, soft_wrap=True)
    say = _Speaker(console)
    stop = asyncio.Event()

    def on_signal() -> None:
        if not stop.is_set():
            say("coinwatch", "stopping")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last: the terminal was closed
        asyncio.get_running_loop().add_signal_handler(number, on_signal)

    server = embedded(settings)
    say("postgres", "starting" if server else "using COINWATCH_DATABASE_URL")
    try:
        url = await asyncio.to_thread(database_url, settings)
        await asyncio.to_thread(database_url, settings, DAGSTER_DATABASE)
        revisions = await asyncio.to_thread(upgrade, url)
        say("postgres", f"ready, {len(revisions)} migrations applied" if revisions else "ready")
        code_port = free_port(settings.host)
        write_workspace(settings, code_port)
        stack = waves(settings, code_port, demo=demo)
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(PROJECT),
            "COINWATCH_LOG_FORMAT": "console" if settings.log_format == "auto" else settings.log_format,
            "PYTHONUNBUFFERED": "1",
        }
        supervisor = Supervisor(stack, environment, say)
        watching = asyncio.create_task(_keep_postgres(server, say)) if server else None
        try:
            await supervisor.run(
                stop, lambda: _announce(console, [p for wave in stack for p in wave], demo=demo)
            )
        finally:
            if watching:
                watching.cancel()
    finally:
        if server:
            say("postgres", "stopping")
            await asyncio.to_thread(server.stop)
    say("coinwatch", "everything has stopped")


async def _keep_postgres(server: EmbeddedPostgres, say: Say) -> None:
    while True:
        await asyncio.sleep(POSTGRES_CHECK_S)
        if await asyncio.to_thread(server.is_running):
            continue
        say("postgres", "has stopped; starting it again")
        try:
            await asyncio.to_thread(server.start)
            say("postgres", "ready again")
        except CoinwatchError as error:
            say("postgres", str(error))


def _announce(console: Console, parts: list[Part], *, demo: bool) -> None:
    table = Table(
        title="Coinwatch is running" + (" on simulated exchanges" if demo else ""), title_style="bold"
    )
    table.add_column("part")
    table.add_column("where", style="cyan", overflow="fold")
    for part in parts:
        table.add_row(part.name, part.url or "-")
    console.print()
    console.print(table)
    flag = " --demo" if demo else ""
    console.print(f'SQL: psql "$(coinwatch db url --show-password{flag})"   State: coinwatch status{flag}')
    console.print("Ctrl-C stops everything.\n")


class _Terminal(Console):
    """Falls silent when nobody reads any more; what runs goes on until it is told to stop."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class _Speaker:
    """Prints lines with the part's name before them, each part in its own colour."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colour: dict[str, str] = {}

    def __call__(self, name: str, line: str) -> None:
        colour = self._colour.setdefault(name, _COLOURS[len(self._colour) % len(_COLOURS)])
        with suppress(OSError):  # the terminal was closed
            self._console.print(Text.assemble((f"{name:>9}", colour), " │ ", Text.from_ansi(line)))
