"""Webhooks by the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks).

A message has a ``webhook-id``, which stays the same when it is sent again, the time of the attempt, and a
signature by each valid secret: for a while after a rotation, also by the old one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from standardwebhooks import Webhook

from app.alerts import replies
from coinwatch.alerts import Alert
from coinwatch.errors import SettingsError
from coinwatch.outside.http_dates import retry_after_s
from sources.http import no_cookies
from sources.public_network import AddressRefused, PublicTransport, is_private_host

TIMEOUT_S = 20.0
SECRET_PREFIX = "whsec_"  # noqa: S105  # how every secret begins
SECRET_BYTES = range(24, 65)
LONGEST_REASON = 200
ALLOWED_BY = "COINWATCH_WEBHOOKS_ALLOW_PRIVATE allows it"


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of an attempt."""

    delivered: bool
    http_status: int | None = None
    error: str | None = None
    is_gone: bool = False
    """The receiver answered 410: nothing is sent to it again."""
    retry_after_s: float = 0.0
    """The wait that the receiver asked for."""


class Webhooks:
    """Sends to public addresses; with ``allow_private`` to any. Close it with ``aclose``."""

    def __init__(self, *, allow_private: bool) -> None:
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S,
            trust_env=False,
            cookies=no_cookies(),
            follow_redirects=False,
            transport=None if allow_private else PublicTransport(),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, url: str, secrets: tuple[str, ...], outlet_id: int, alert: Alert) -> Outcome:
        """Make an attempt. Errors of the receiver or the network are outcomes, never raised."""
        body = payload(alert)
        headers = signed(secrets, message_id(outlet_id, alert), datetime.now(UTC), body)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                request = self._http.build_request("POST", url, headers=headers, content=body)
                # The body is not read: it could be endless.
                response = await self._http.send(request, stream=True)
                await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(delivered=False, error=f"no answer within {TIMEOUT_S:g} s")
        except AddressRefused as error:
            return Outcome(delivered=False, error=f"{error}; {ALLOWED_BY}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Outcome(delivered=False, error=f"{type(error).__name__}: {_without(url, str(error))}")
        return _judge(response)


def message_id(outlet_id: int, alert: Alert) -> str:
    return f"msg_{alert.event_id}_{outlet_id}"


def payload(alert: Alert) -> str:
    """The body: the alert as on the websocket, in the envelope of the specification."""
    data: dict[str, Any] = json.loads(replies.alert(alert))
    del data["type"]
    return json.dumps({"type": "alert.fired", "timestamp": data["ts"], "data": data}, separators=(",", ":"))


def signed(secrets: tuple[str, ...], msg_id: str, at: datetime, body: str) -> dict[str, str]:
    """The headers of a message."""
    return {
        "content-type": "application/json",
        "user-agent": "coinwatch",
        "webhook-id": msg_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(msg_id, at, body) for secret in secrets),
    }


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise SettingsError, without the URL, if nothing can ever be sent to it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host = None
    if not host:
        raise SettingsError("not a URL: write it like https://example.org/hook")
    check_host(host, allow_private=allow_private)


def check_host(host: str, *, allow_private: bool) -> None:
    """Raise SettingsError if a host is private. Names are resolved, and checked, when something is sent."""
    if is_private_host(host) and not allow_private:
        raise SettingsError(f"{host} is a private address: set COINWATCH_WEBHOOKS_ALLOW_PRIVATE to allow it")


def check_secret(secret: str) -> str:
    """``secret`` as it is stored. Raises SettingsError, without the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise SettingsError(
            f"not a secret: {SECRET_PREFIX} and 24 to 64 bytes in base64, as the specification requires"
        )
    return secret


def _judge(response: httpx.Response) -> Outcome:
    status = response.status_code
    if response.is_success:
        return Outcome(delivered=True, http_status=status)
    if status == HTTPStatus.GONE:
        return Outcome(delivered=False, http_status=status, error="410: it is gone", is_gone=True)
    phrase = f"{status} {response.reason_phrase[:LONGEST_REASON]}".strip()
    why = f"{phrase}: redirects are not followed" if response.is_redirect else phrase
    wait_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC)) or 0.0
    return Outcome(delivered=False, http_status=status, error=why, retry_after_s=wait_s)


def _without(url: str, text: str) -> str:
    return text.replace(url, "the URL")[:LONGEST_REASON]
