"""``coinwatch up``: the whole stack under a supervisor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.demo import command_settings, demo_environment
from app.cli.output import uncut
from app.cli.runner.code_server import socket_path
from app.cli.runner.data_folder import POSTGRES, hold
from app.cli.runner.keepers import guarded, watched
from app.cli.runner.listeners import check_ports, listeners, open_ports
from app.cli.runner.parts import dagster_home, waves, write_dagster_home
from app.cli.runner.service import stop_signals
from app.cli.runner.supervisor import Part, PrintLine, Supervisor
from coinwatch.errors import WarehouseUnavailable
from coinwatch.settings import Settings, load_settings
from coinwatch.settings.logins import check_dagster_login
from warehouse.db.connect import database_url, embedded
from warehouse.db.migrate import upgrade
from warehouse.ops.dagster import DAGSTER_DATABASE

POSTGRES_RETRIES = 2
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


def up(
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Use simulated exchanges: no network, no API keys, own data folder."),
    ] = False,
) -> None:
    """Start the whole stack; Ctrl-C stops it.

    The stack is Postgres, the ingest daemon, the alert endpoint, Dagster and the dashboard. A part that
    exits or hangs is restarted. If this command is killed, all that it has started ends too. coinwatch
    down stops it from elsewhere.
    """
    settings = command_settings(demo=demo)
    check_dagster_login(settings)
    environment = {**os.environ, **(demo_environment(load_settings()) if demo else {})}
    terminal = uncut(_Terminal(highlight=False, soft_wrap=True))
    log = _LinePrinter(terminal)
    with hold(settings.data_dir, demo=demo, notify=partial(log, "coinwatch")) as run:
        check_ports(listeners(settings, demo=demo))
        asyncio.run(_run(settings, environment, run, terminal, log, demo=demo))
    log("coinwatch", "everything has stopped")


async def _run(
    settings: Settings,
    environment: Mapping[str, str],
    run: str,
    terminal: Console,
    log: PrintLine,
    *,
    demo: bool,
) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if not stop.is_set():
            log("coinwatch", "stopping")
        stop.set()

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, on_signal)

    for part, sentence in open_ports(listeners(settings, demo=demo)):
        log(part, sentence)
    code_socket = socket_path(settings.data_dir)
    if not code_socket.is_relative_to(settings.data_dir):
        log("pipelines", f"its socket is in {code_socket.parent}: the data folder's path does not fit one")
    server = embedded(settings)
    async with guarded(settings.data_dir, run, environment, log):
        log(POSTGRES, "starting" if server else "using COINWATCH_DATABASE_URL")
        try:
            revisions = await _prepare(settings, log)
            log(POSTGRES, f"ready, {len(revisions)} migrations applied" if revisions else "ready")
            write_dagster_home(settings, code_socket)
            stack = waves(settings, code_socket, demo=demo)
            supervisor = Supervisor(stack, _variables(settings, environment), run, log)
            async with watched(server, settings, log) if server else nullcontext():
                await supervisor.run(
                    stop, lambda: _announce(terminal, [part for wave in stack for part in wave], demo=demo)
                )
        finally:
            if server:
                log(POSTGRES, "stopping")
                await asyncio.to_thread(server.stop)


async def _prepare(settings: Settings, log: PrintLine) -> Sequence[str]:
    """Start Postgres if it is ours, create and migrate the databases. Returns the migrations applied."""

    def prepare() -> Sequence[str]:
        url = database_url(settings)
        database_url(settings, DAGSTER_DATABASE)
        return upgrade(url)

    # Our own server may have been killed meanwhile, or hang.
    for _ in range(0 if settings.database_url else POSTGRES_RETRIES):
        try:
            return await asyncio.to_thread(prepare)
        except WarehouseUnavailable as error:
            log(POSTGRES, f"{error}; trying again")
    return await asyncio.to_thread(prepare)


def _variables(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the parts."""
    return {
        **environment,
        "DAGSTER_HOME": str(dagster_home(settings)),
        "COINWATCH_LOG_FORMAT": "console" if settings.log_format == "auto" else settings.log_format,
        "PYTHONUNBUFFERED": "1",
    }


def _announce(terminal: Console, parts: list[Part], *, demo: bool) -> None:
    table = Table(
        title="Coinwatch is running" + (" on simulated exchanges" if demo else ""), title_style="bold"
    )
    table.add_column("part")
    table.add_column("address", style="cyan", overflow="fold")
    for part in parts:
        table.add_row(part.name, part.url or "-")
    terminal.print()
    terminal.print(table)
    flag = " --demo" if demo else ""
    terminal.print(f"SQL: coinwatch db psql{flag}   State: coinwatch status{flag}")
    terminal.print(f"Ctrl-C stops everything; so does coinwatch down{flag}.\n")


class _Terminal(Console):
    """Stops printing when the terminal is closed, while the stack keeps running."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class _LinePrinter:
    """Prints lines with the name of their part, each part in its own colour."""

    def __init__(self, terminal: Console) -> None:
        self._terminal = terminal
        self._colours: dict[str, str] = {}

    def __call__(self, name: str, line: str) -> None:
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        with suppress(OSError):  # the terminal was closed
            self._terminal.print(Text.assemble((f"{name:>9}", colour), " │ ", Text.from_ansi(line)))
