"""The ``coinwatch`` command: one file per sub-command, joined here."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from app.cli.commands.alerts import alerts
from app.cli.commands.config import config
from app.cli.commands.db import db
from app.cli.commands.down import down
from app.cli.commands.ingest import ingest
from app.cli.commands.outlets import outlets
from app.cli.commands.prices import prices
from app.cli.commands.simulate import simulate
from app.cli.commands.status import status
from app.cli.commands.token import token
from app.cli.commands.up import up
from app.cli.commands.watch import watch
from app.cli.errors import print_error
from app.cli.exit_codes import ExitCode
from coinwatch import logs
from coinwatch.errors import CoinwatchError, SettingsError

_EXIT_CODES = "\n".join(f"  {code.value:<4} {code.meaning}" for code in ExitCode)

app = typer.Typer(
    name="coinwatch",
    help="Self-hosted crypto market data.",
    epilog=f"\b\nExit codes:\n{_EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (up, down, status, watch, prices, ingest, alerts, token, simulate):
    app.command()(command)
for group in (outlets, db, config):
    app.add_typer(group)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coinwatch {version('coinwatch')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def _check_completion(arguments: list[str]) -> None:
    """Keep root (``sudo -E``) from changing the shell's files of another user, which may be links.

    Raises SettingsError.
    """
    if "--install-completion" in arguments and os.geteuid() == 0 != Path.home().stat().st_uid:
        raise SettingsError(f"HOME is {Path.home()}, another user's folder: run this as that user")


def main() -> None:
    """Run the command line. Errors that we raise on purpose are printed as one line, or as JSON."""
    as_json = "--json" in sys.argv[1:]
    logs.configure_default()  # services configure their own
    try:
        _check_completion(sys.argv[1:])
        # With --json we print usage errors ourselves; an int is the code of an early exit.
        code = app(standalone_mode=not as_json)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except CoinwatchError as error:
        print_error(error, as_json=as_json)
        sys.exit(ExitCode.FAILED)
    except TyperException as error:
        print_error(error, as_json=True)
        sys.exit(getattr(error, "exit_code", ExitCode.FAILED))
