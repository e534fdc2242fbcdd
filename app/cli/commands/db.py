"""``coinwatch db``: migrations, backups and the embedded server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from app.cli.demo import command_settings
from app.cli.output import AsJson, Demo, print_json
from app.cli.shapes import BackedUp, DatabaseUrl, Restored, Stopped, Upgraded
from coinwatch.errors import WarehouseError, WarehouseRejected
from warehouse.db import backup as backups
from warehouse.db import client_programs, migrate
from warehouse.db.connect import database_url, embedded
from warehouse.ops.dagster import DAGSTER_DATABASE

db = typer.Typer(name="db", help="The database: migrations, backups, embedded server.", no_args_is_help=True)


@db.command()
def upgrade(demo: Demo = False, as_json: AsJson = False) -> None:
    """Migrate the schema to this release, and create Dagster's database and the roles of services.

    Roles and databases are only created where the database user may create them.
    """
    settings = command_settings(demo=demo)
    applied = migrate.upgrade(database_url(settings))
    try:
        database_url(settings, DAGSTER_DATABASE)
    except WarehouseRejected as error:
        typer.echo(f"Only Dagster needs it: {error}", err=True)
    if as_json:
        print_json(Upgraded(applied=applied))
    else:
        typer.echo(f"Upgraded the schema: {', '.join(applied)}" if applied else "The schema is up to date")


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write. An existing file is replaced.")],
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Back up the whole database to FILE with pg_dump."""
    size = backups.backup(database_url(command_settings(demo=demo), create=False), file)
    if as_json:
        print_json(BackedUp(file=str(file), bytes=size))
    else:
        typer.echo(f"Wrote {file} ({size / 1e6:,.1f} MB)")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="File written by backup.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete the existing data first.")] = False,
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database.

    Restore only files that you trust: the SQL in FILE runs with all rights of the database user, on all data
    in the database.
    """
    backups.restore(database_url(command_settings(demo=demo)), file, replace=replace)
    if as_json:
        print_json(Restored(file=str(file)))
    else:
        typer.echo(f"Restored {file}")


@db.command()
def stop(demo: Demo = False, as_json: AsJson = False) -> None:
    """Stop the embedded server."""
    server = embedded(command_settings(demo=demo))
    if server is None:
        raise WarehouseError("COINWATCH_DATABASE_URL is set: only the embedded server can be stopped here")
    stopped = server.stop()
    if as_json:
        print_json(Stopped(folder=str(server.folder), stopped=stopped))
    elif stopped:
        typer.echo(f"Stopped Postgres in {server.folder}")
    else:
        typer.echo(f"Postgres was not running in {server.folder}")


@db.command(context_settings={"ignore_unknown_options": True})
def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]...", help="Arguments of psql.")
    ] = None,
    demo: Demo = False,
) -> None:
    """Open the database in psql.

    Example: coinwatch db psql -- -c "select * from markets"

    Starts the embedded server if it is not running. Runs the psql on PATH, else that of the embedded
    server. The password is in no argument, so other users cannot see it.
    """
    address = database_url(command_settings(demo=demo), create=False)
    program = client_programs.psql()
    command = [program, f"--dbname={client_programs.place(address)}", *(arguments or [])]
    os.execve(program, command, client_programs.environment(address))  # noqa: S606


@db.command()
def url(
    show_password: Annotated[
        bool, typer.Option("--show-password", help="Print the password instead of ***.")
    ] = False,
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Print the URL of the database, for other tools; for psql there is db psql.

    Starts the embedded server if it is not running.
    """
    settings = command_settings(demo=demo)
    address = database_url(settings, create=False)
    server = embedded(settings)
    if server is not None:
        address = server.url()  # over TCP: not all tools can use the Unix socket
    text = address.set(drivername="postgresql").render_as_string(hide_password=not show_password)
    if as_json:
        print_json(DatabaseUrl(url=text))
    else:
        typer.echo(text)
