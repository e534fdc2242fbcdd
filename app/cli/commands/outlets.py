"""``coinwatch outlets``: webhooks and other services that a client's alerts are delivered to."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import urlsplit

import typer
from psycopg import AsyncConnection

from app.alerts.outlets import webhooks
from app.alerts.protocol import is_owned_name
from app.cli.demo import command_settings
from app.cli.output import AsJson, Demo, console, print_json, table
from app.cli.shapes import Deliveries, Delivery, Outlet, OutletAdded, OutletChanged, Outlets, Resent
from coinwatch.errors import SettingsError
from coinwatch.files import open_file
from coinwatch.settings import Settings
from warehouse.alerts import deliveries as stored
from warehouse.alerts.deliveries import Kind, State
from warehouse.db.connect import database_url, session
from warehouse.db.migrate import upgrade

T = TypeVar("T")

BOTH_FOR_H = 24.0
"""How long after a rotation messages are signed with the previous secret too."""

outlets = typer.Typer(
    name="outlets",
    help="Deliver alerts by webhook, Telegram, e-mail and other services.",
    no_args_is_help=True,
)

OutletId = Annotated[int, typer.Argument(help="Number of the outlet, as printed by list.")]
SecretFile = Annotated[
    Path,
    typer.Option(help="File with the secret for signing webhooks; created if it does not exist."),
]


class _Secret(NamedTuple):
    text: str
    created: bool


@outlets.command()
def add(
    client: Annotated[str, typer.Argument(help="Name of the client whose alerts are delivered.")],
    url: Annotated[
        str,
        typer.Argument(help="https://… for a webhook, else a URL of Apprise; - reads it from stdin."),
    ],
    secret_file: Annotated[
        Path | None,
        typer.Option(help="For a webhook: file with its secret; created if it does not exist."),
    ] = None,
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Deliver the alerts of CLIENT to URL, starting now.

    Example: coinwatch outlets add my-bot https://example.org/hook --secret-file hook.secret

    URLs are printed shortened, and secrets never.
    """
    settings = command_settings(demo=demo)
    if not is_owned_name(client):
        raise typer.BadParameter(
            "CLIENT is a name of 1 to 64 letters, digits, dots, dashes, underscores or @"
        )
    url = sys.stdin.readline().strip() if url == "-" else url
    secret: _Secret | None = None
    if urlsplit(url).scheme.lower() in ("http", "https"):
        webhooks.check_url(url, allow_private=settings.webhooks_allow_private)
        if secret_file is None:
            raise typer.BadParameter("webhooks are signed: give --secret-file PATH")
        kind, secret = Kind.WEBHOOK, _secret(secret_file)
    else:
        from app.alerts.outlets import apprise_process  # takes half a second, which other commands save

        apprise_process.service(url, allow_private=settings.webhooks_allow_private)
        kind = Kind.APPRISE
    outlet = _run(
        settings,
        lambda conn: stored.add_outlet(
            conn, client=client, kind=kind, url=url, secret=secret.text if secret else None
        ),
        create=True,
    )
    shown = stored.shown_url(url)
    created = secret is not None and secret.created
    if as_json:
        print_json(OutletAdded(outlet=outlet, client=client, url=shown, secret_created=created))
        return
    if created:
        _print_secret_created(secret_file)
    typer.echo(f"Outlet {outlet}: alerts of {client} are delivered to {shown} from now on")


@outlets.command("list")
def list_outlets(demo: Demo = False, as_json: AsJson = False) -> None:
    """List all outlets, with shortened URLs."""
    rows = _run(command_settings(demo=demo), stored.outlets)
    if as_json:
        print_json(
            Outlets(
                outlets=[
                    Outlet(
                        outlet=row.id,
                        client=row.client,
                        kind=row.kind,
                        url=stored.shown_url(row.url),
                        disabled_at=row.disabled_at,
                        disabled_why=row.disabled_why,
                    )
                    for row in rows
                ]
            )
        )
        return
    shown = table("outlet", "client", "kind", "to", "state")
    for row in rows:
        state = "active" if row.disabled_at is None else f"disabled: {row.disabled_why}"
        shown.add_row(str(row.id), row.client, row.kind, stored.shown_url(row.url), state)
    console().print(shown)


@outlets.command()
def remove(outlet_id: OutletId, demo: Demo = False, as_json: AsJson = False) -> None:
    """Remove an outlet and the record of its deliveries."""
    _require(_run(command_settings(demo=demo), lambda conn: stored.remove_outlet(conn, outlet_id)), outlet_id)
    _print_change(outlet_id, "removed", "", as_json=as_json)


@outlets.command()
def enable(outlet_id: OutletId, demo: Demo = False, as_json: AsJson = False) -> None:
    """Enable an outlet that was disabled because its receiver answered 410 Gone."""
    _require(_run(command_settings(demo=demo), lambda conn: stored.enable_outlet(conn, outlet_id)), outlet_id)
    _print_change(outlet_id, "enabled", "; new alerts are delivered from now on", as_json=as_json)


@outlets.command()
def rotate(outlet_id: OutletId, secret_file: SecretFile, demo: Demo = False, as_json: AsJson = False) -> None:
    """Sign a webhook with a new secret; for 24 hours also with the previous one."""
    secret = _secret(secret_file)
    _require(
        _run(
            command_settings(demo=demo),
            lambda conn: stored.rotate_secret(conn, outlet_id, secret.text, BOTH_FOR_H),
        ),
        outlet_id,
    )
    if secret.created and not as_json:
        _print_secret_created(secret_file)
    _print_change(
        outlet_id, "rotated", f" to the new secret; both secrets sign for {BOTH_FOR_H:g} h", as_json=as_json
    )


@outlets.command()
def deliveries(
    outlet: Annotated[int | None, typer.Option(help="Only deliveries of this outlet.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only deliveries that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of rows.")] = 50,
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Show the latest deliveries, newest first."""
    state = State.DEAD if dead else None
    rows = _run(
        command_settings(demo=demo),
        lambda conn: stored.recent_deliveries(conn, outlet_id=outlet, state=state, limit=limit),
    )
    if as_json:
        print_json(
            Deliveries(
                deliveries=[
                    Delivery(
                        event=row.event_id,
                        outlet=row.outlet_id,
                        state=row.state,
                        attempts=row.attempts,
                        attempted_at=row.attempted_at,
                        http_status=row.http_status,
                        error=row.error,
                    )
                    for row in rows
                ]
            )
        )
        return
    shown = table("event", "outlet", "state", "attempts", "last attempt", "status", "error")
    for row in rows:
        attempted = "" if row.attempted_at is None else f"{row.attempted_at:%Y-%m-%d %H:%M:%S}"
        status = "" if row.http_status is None else str(row.http_status)
        shown.add_row(
            *(str(row.event_id), str(row.outlet_id), row.state, str(row.attempts)),
            *(attempted, status, row.error or ""),
        )
    console().print(shown)


@outlets.command()
def resend(
    outlet_id: OutletId,
    event: Annotated[int | None, typer.Option(help="Only this event, whatever its state.")] = None,
    demo: Demo = False,
    as_json: AsJson = False,
) -> None:
    """Resend deliveries that were given up, with the same ids."""
    count = _run(command_settings(demo=demo), lambda conn: stored.resend(conn, outlet_id, event))
    if as_json:
        print_json(Resent(outlet=outlet_id, deliveries=count))
    else:
        typer.echo(f"Resending {count} deliveries of outlet {outlet_id}")


def _run(settings: Settings, work: Callable[[AsyncConnection], Awaitable[T]], *, create: bool = False) -> T:
    url = database_url(settings, create=create)
    upgrade(url)

    async def run() -> T:
        async with session(url, application_name="coinwatch outlets") as conn:
            return await work(conn)

    return asyncio.run(run())


def _secret(file: Path) -> _Secret:
    """Read the secret in ``file``, creating it first where it does not exist."""
    created = False
    try:
        with os.fdopen(open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as opened:
            opened.write(webhooks.SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        created = True
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"cannot write a secret to {file}: {error.strerror}") from None
    try:
        return _Secret(webhooks.check_secret(file.read_text().strip()), created)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read a secret from {file}: {error}") from None
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None


def _print_secret_created(file: Path | None) -> None:
    typer.echo(f"Created a secret in {file}; the receiver needs it")


def _print_change(outlet_id: int, change: str, detail: str, *, as_json: bool) -> None:
    if as_json:
        print_json(OutletChanged(outlet=outlet_id, change=change))
    else:
        typer.echo(f"Outlet {outlet_id}: {change}{detail}")


def _require(exists: bool, outlet_id: int) -> None:
    if not exists:
        raise SettingsError(f"there is no outlet {outlet_id}; coinwatch outlets list shows all")
