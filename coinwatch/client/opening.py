"""Connecting to the endpoint, and again after the connection was lost."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from coinwatch.errors import CommandRefused, EndpointUnreachable

OPEN_TIMEOUT_S = 15.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 10.0

log = logging.getLogger(__name__)


async def open_socket(address: str) -> ClientConnection:
    """Connect to ``address``.

    Raises CommandRefused where the endpoint says that it cannot have what is asked for, and why;
    EndpointUnreachable for all else.
    """
    shown = address.partition("?")[0]
    try:
        return await connect(address, open_timeout=OPEN_TIMEOUT_S, proxy=None)
    except InvalidStatus as error:
        status, said = (
            error.response.status_code,
            (error.response.body or b"").decode(errors="replace").strip(),
        )
        if status == 400 and (refused := _refusal(said)) is not None:
            raise refused from None
        reason = f"HTTP {status} {said}"
    except (OSError, InvalidHandshake, InvalidURI) as error:
        reason = str(error) or type(error).__name__
    raise EndpointUnreachable(f"cannot reach the alert endpoint at {shown}: {reason}")


async def open_again(address: Callable[[], str]) -> ClientConnection:
    """Connect for as long as it takes, each time to what ``address`` says. Raises CommandRefused."""
    delay_s = FIRST_RETRY_S
    while True:
        await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311  # spread, not secret
        try:
            return await open_socket(address())
        except EndpointUnreachable as error:
            log.warning("%s; trying again", error)
        delay_s = min(delay_s * 2, LONGEST_RETRY_S)


def _refusal(said: str) -> CommandRefused | None:
    try:
        fields = json.loads(said)
        return CommandRefused(fields["code"], fields["message"], fields["hint"])
    except (ValueError, KeyError, TypeError):
        return None
