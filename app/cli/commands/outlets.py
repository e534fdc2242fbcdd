"""``coinwatch outlets``: where the alerts of a client go besides the websocket."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import typer
from psycopg import AsyncConnection
from rich.console import Console
from rich.table import Table

from app.alerts.outlets import webhooks
from app.alerts.protocol import is_owned_name
from coinwatch.errors import SettingsError
from coinwatch.settings import Settings, load_settings
from warehouse.alerts import deliveries as stored
from warehouse.alerts.deliveries import Kind, State
from warehouse.db.connect import connect, database_url
from warehouse.db.migrate import upgrade

T = TypeVar("T")

BOTH_FOR_H = 24.0
"""How long after a rotation messages are signed with the previous secret too."""

outlets = typer.Typer(
    name="outlets",
    help="Other ways for alerts than the websocket: webhooks, Telegram, e-mail and others.",
    no_args_is_help=True,
)

OutletId = Annotated[int, typer.Argument(help="The outlet's number, as list shows it.")]
SecretFile = Annotated[
    Path,
    typer.Option(help="File with the secret that webhooks are signed with; made when there is none."),
]


@outlets.command()
def add(
    client: Annotated[str, typer.Argument(help="The named client whose alerts it gets.")],
    url: Annotated[
        str, typer.Argument(help="https://… for a webhook, else a URL of apprise; - reads it from stdin.")
    ],
    secret_file: Annotated[
        Path | None,
        typer.Option(help="For a webhook: file with its secret; made, with a new one, when there is none."),
    ] = None,
) -> None:
    """Deliver the alerts of CLIENT, from now on, to URL as well.

    Example: coinwatch outlets add my-bot https://example.org/hook --secret-file hook.secret

    URLs and secrets are not printed again.
    """
    settings = load_settings()
    if not is_owned_name(client):
        raise typer.BadParameter(
            "CLIENT is a name of 1 to 64 letters, digits, dots, dashes, underscores or @"
        )
    url = sys.stdin.readline().strip() if url == "-" else url
    if urlsplit(url).scheme.lower() in ("http", "https"):
        webhooks.check_url(url, allow_private=settings.webhooks_allow_private)
        if secret_file is None:
            raise typer.BadParameter("a webhook is signed: give --secret-file PATH")
        kind, secret = Kind.WEBHOOK, _secret(secret_file)
    else:
        from app.alerts.outlets import apprise_sender  # half a second that no other command should take

        apprise_sender.service(url)
        kind, secret = Kind.APPRISE, None
    made = _run(
        settings, lambda conn: stored.add_outlet(conn, client=client, kind=kind, url=url, secret=secret)
    )
    typer.echo(f"Outlet {made}: the alerts of {client} go to {stored.shown_url(url)} from now on")


@outlets.command("list")
def list_outlets() -> None:
    """Show every outlet, its URL cut short."""
    table = Table("outlet", "client", "kind", "to", "state", box=None)
    for outlet in _run(load_settings(), stored.outlets):
        state = "active" if outlet.disabled_at is None else f"disabled: {outlet.disabled_why}"
        table.add_row(str(outlet.id), outlet.client, outlet.kind, stored.shown_url(outlet.url), state)
    Console(highlight=False).print(table)


@outlets.command()
def remove(outlet_id: OutletId) -> None:
    """Remove an outlet, with the record of its deliveries."""
    _found(_run(load_settings(), lambda conn: stored.remove_outlet(conn, outlet_id)), outlet_id)
    typer.echo(f"Outlet {outlet_id} is removed")


@outlets.command()
def enable(outlet_id: OutletId) -> None:
    """Deliver to an outlet again that was disabled because its receiver said 410, it is gone."""
    _found(_run(load_settings(), lambda conn: stored.enable_outlet(conn, outlet_id)), outlet_id)
    typer.echo(f"Outlet {outlet_id} is enabled: alerts from now on are delivered")


@outlets.command()
def rotate(outlet_id: OutletId, secret_file: SecretFile) -> None:
    """Sign a webhook with another secret; for a day with the previous one too."""
    secret = _secret(secret_file)
    _found(
        _run(load_settings(), lambda conn: stored.rotate_secret(conn, outlet_id, secret, BOTH_FOR_H)),
        outlet_id,
    )
    typer.echo(f"Outlet {outlet_id} is signed with the new secret, for {BOTH_FOR_H:g} h with both")


@outlets.command()
def deliveries(
    outlet: Annotated[int | None, typer.Option(help="Of this outlet only.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
) -> None:
    """Show the last deliveries, the newest first."""
    state = State.DEAD if dead else None
    rows = _run(
        load_settings(),
        lambda conn: stored.recent_deliveries(conn, outlet_id=outlet, state=state, limit=limit),
    )
    table = Table("event", "outlet", "state", "attempts", "last attempt", "status", "error", box=None)
    for row in rows:
        attempted = "" if row.attempted_at is None else f"{row.attempted_at:%Y-%m-%d %H:%M:%S}"
        status = "" if row.http_status is None else str(row.http_status)
        table.add_row(
            *(str(row.event_id), str(row.outlet_id), row.state, str(row.attempts)),
            *(attempted, status, row.error or ""),
        )
    Console(highlight=False).print(table)


@outlets.command()
def resend(
    outlet_id: OutletId,
    event: Annotated[int | None, typer.Option(help="This event only, whatever became of it.")] = None,
) -> None:
    """Send again what was given up, under the same ids."""
    count = _run(load_settings(), lambda conn: stored.resend(conn, outlet_id, event))
    typer.echo(f"{count} deliveries of outlet {outlet_id} are sent again")


def _run(settings: Settings, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    url = database_url(settings)
    upgrade(url)

    async def run() -> T:
        async with await connect(url, application_name="coinwatch outlets") as conn:
            return await work(conn)

    return asyncio.run(run())


def _secret(file: Path) -> str:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(webhooks.SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        typer.echo(f"Wrote a new secret to {file}: the receiver needs it")
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"cannot write a secret to {file}: {error.strerror}") from None
    try:
        return webhooks.check_secret(file.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read a secret from {file}: {error}") from None
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None


def _found(done: bool, outlet_id: int) -> None:
    if not done:
        raise SettingsError(f"there is no such outlet: {outlet_id}; coinwatch outlets list shows them")
