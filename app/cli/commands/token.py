"""``coinwatch token``: lets a subscriber in at the alert endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from coinwatch.tokens import NAME, new_token, token_hash


def token(
    name: Annotated[str, typer.Argument(help="Whose it is: the clients made with it belong to that name.")],
) -> None:
    """Make a token for a subscriber of the alert endpoint.

    Prints two lines: the first is the secret, for the subscriber; it is stored nowhere. The second goes
    to the endpoint: add it to COINWATCH_ALERTS_TOKENS with a comma, and start the endpoint again.

    Example: coinwatch token alice
    """
    if not NAME.fullmatch(name):
        raise typer.BadParameter("NAME is 1 to 64 letters, digits, dots, dashes, underscores or @")
    secret = new_token()
    typer.echo(f"COINWATCH_TOKEN={secret}")
    typer.echo(f"COINWATCH_ALERTS_TOKENS={name}:{token_hash(secret)}")
