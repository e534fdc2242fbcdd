"""The ``coinwatch`` command: one file per sub-command, joined here."""

from __future__ import annotations

import sys

import typer

from app.cli.commands.alerts import alerts
from app.cli.commands.db import db
from app.cli.commands.ingest import ingest
from app.cli.commands.outlets import outlets
from app.cli.commands.prices import prices
from app.cli.commands.simulate import simulate
from app.cli.commands.status import status
from app.cli.commands.token import token
from app.cli.commands.up import up
from app.cli.commands.watch import watch
from coinwatch.errors import CoinwatchError

app = typer.Typer(
    name="coinwatch",
    help="Self-hosted crypto market data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (up, status, watch, prices, ingest, alerts, token, simulate):
    app.command()(command)
app.add_typer(outlets)
app.add_typer(db)


def main() -> None:
    """Run the command line. Our own errors become one clear line and exit code 1."""
    try:
        app()
    except CoinwatchError as error:
        print(f"coinwatch: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
