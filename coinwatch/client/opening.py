"""Connects to the endpoint, and reconnects."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode

from coinwatch.errors import CommandRefused, EndpointUnreachable, SettingsError
from coinwatch.settings import load_access

OPEN_TIMEOUT_S = 15.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 10.0
_FINAL = (400, 401, 403)
"""Refusals that a retry does not change."""

log = logging.getLogger(__name__)
_frames = logging.getLogger(f"{__name__}.frames")
# The debug log of websockets contains the token.
_frames.setLevel(logging.INFO)


class Opener:
    """Connects with the token of ``COINWATCH_TOKEN`` and the authorities of ``COINWATCH_TLS_CA``.

    Raises SettingsError when they cannot be used. The token is read from the environment alone, so that it is
    in no program text, and is never logged.
    """

    def __init__(self) -> None:
        access = load_access()
        self._headers = _headers(access.token)
        self._tls = True if access.tls_ca is None else _context(access.tls_ca)

    async def open(self, address: str) -> ClientConnection:
        """Connect to ``address``.

        Raises CommandRefused if the endpoint refuses the request, else EndpointUnreachable.
        """
        shown = address.partition("?")[0]
        try:
            return await connect(
                address,
                ssl=self._tls if address.startswith("wss:") else None,
                additional_headers=self._headers,
                logger=_frames,
                open_timeout=OPEN_TIMEOUT_S,
                proxy=None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            body = (error.response.body or b"").decode(errors="replace").strip()
            if status in _FINAL and (refused := _refusal(body)) is not None:
                raise refused from None
            reason = f"HTTP {status} {body}"
        except (OSError, InvalidHandshake, InvalidURI) as error:
            reason = str(error) or type(error).__name__
        raise EndpointUnreachable(f"cannot reach the alert endpoint at {shown}: {reason}")

    async def open_again(self, address: Callable[[], str]) -> ClientConnection:
        """Retry until connected, each time to what ``address`` returns. Raises CommandRefused."""
        delay_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311  # spread, not secret
            try:
                return await self.open(address())
            except EndpointUnreachable as error:
                log.warning("%s; retrying", error)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)


def raise_if_rejected(socket: ClientConnection) -> None:
    """Raise CommandRefused if the endpoint closed ``socket`` in a way that reconnecting does not change."""
    if socket.close_code == CloseCode.POLICY_VIOLATION:
        raise CommandRefused(
            "sent_away",
            f"the endpoint closed the connection: {socket.close_reason or 'no reason given'}",
            "set COINWATCH_TOKEN if it asks for a token; send fewer commands if there were too many",
        )


def _headers(token: SecretStr | None) -> dict[str, str]:
    if token is None or not (secret := token.get_secret_value().strip()):
        return {}
    if not (secret.isascii() and secret.isprintable()):
        raise SettingsError("COINWATCH_TOKEN has characters that no token has; copy it again")
    return {"Authorization": f"Bearer {secret}"}


def _context(authorities: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        raise SettingsError(f"COINWATCH_TLS_CA: no PEM certificates in {authorities}") from None
    except OSError as error:
        raise SettingsError(f"COINWATCH_TLS_CA: cannot read {authorities}: {error.strerror}") from None


def _refusal(body: str) -> CommandRefused | None:
    try:
        fields = json.loads(body)
        return CommandRefused(fields["code"], fields["message"], fields["hint"])
    except (ValueError, KeyError, TypeError):
        return None
