"""``coinwatch db``: migrations, backups and the embedded server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from app.cli.runner.parts import demo_environment
from coinwatch.errors import WarehouseError
from coinwatch.settings import Settings, load_settings
from warehouse.db import backup as backups
from warehouse.db import migrate
from warehouse.db.connect import database_url, embedded

db = typer.Typer(
    name="db", help="The database: migrations, backups, the embedded server.", no_args_is_help=True
)

Demo = Annotated[bool, typer.Option("--demo", help="The database of the demo.")]


@db.command()
def upgrade(demo: Demo = False) -> None:
    """Bring the schema to this release."""
    applied = migrate.upgrade(database_url(_settings(demo)))
    typer.echo(f"Upgraded the schema: {', '.join(applied)}" if applied else "The schema is up to date")


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; one that exists is replaced.")],
    demo: Demo = False,
) -> None:
    """Write everything stored to FILE, by the server's own pg_dump."""
    size = backups.backup(database_url(_settings(demo)), file)
    typer.echo(f"Wrote {file} ({size / 1e6:,.1f} MB)")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file written by backup.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the database holds.")] = False,
    demo: Demo = False,
) -> None:
    """Put a backup back into an empty database."""
    backups.restore(database_url(_settings(demo)), file, replace=replace)
    typer.echo(f"Restored {file}")


@db.command()
def stop(demo: Demo = False) -> None:
    """Stop the embedded server."""
    server = embedded(_settings(demo))
    if server is None:
        raise WarehouseError("COINWATCH_DATABASE_URL is set: that server is not ours to stop")
    if server.stop():
        typer.echo(f"Stopped Postgres in {server.folder}")
    else:
        typer.echo(f"No Postgres was running in {server.folder}")


@db.command()
def url(
    show_password: Annotated[bool, typer.Option("--show-password", help="Print it unmasked.")] = False,
    demo: Demo = False,
) -> None:
    """Print the database's URL, for psql and other tools; starts the embedded server when needed."""
    settings = _settings(demo)
    used = database_url(settings)
    server = embedded(settings)
    if server is not None:
        used = server.url()  # over TCP, which any tool understands
    typer.echo(used.set(drivername="postgresql").render_as_string(hide_password=not show_password))


def _settings(demo: bool) -> Settings:
    if demo:
        os.environ.update(demo_environment(load_settings()))
    return load_settings()
