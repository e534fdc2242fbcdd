"""``coinwatch token``: creates access tokens for the alert endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.output import AsJson, print_json
from app.cli.shapes import Token
from coinwatch.tokens import NAME, new_token, token_hash


def token(
    name: Annotated[str, typer.Argument(help="Name of the client; it owns the rules made with the token.")],
    as_json: AsJson = False,
) -> None:
    """Create an access token for a client of the alert endpoint.

    Prints two lines. The first is the secret, for the client; it is not stored. The second is for the
    endpoint: add its value to COINWATCH_ALERTS_TOKENS, separated by a comma, and restart the endpoint.

    Example: coinwatch token alice
    """
    if not NAME.fullmatch(name):
        raise typer.BadParameter("NAME is 1 to 64 letters, digits, dots, dashes, underscores or @")
    secret = new_token()
    entry = f"{name}:{token_hash(secret)}"
    if as_json:
        print_json(Token(name=name, token=secret, entry=entry))
        return
    typer.echo(f"COINWATCH_TOKEN={secret}")
    typer.echo(f"COINWATCH_ALERTS_TOKENS={entry}")
