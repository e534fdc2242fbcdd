"""Webhooks by the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks).

A message has a ``webhook-id``, which stays the same when it is sent again, the time of the attempt, and a
signature by each valid secret: for a while after a rotation, also by the old one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import socket
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
from coinwatch.http_dates import retry_after_s

TIMEOUT_S = 20.0
SECRET_PREFIX = "whsec_"  # noqa: S105  # how every secret begins
SECRET_BYTES = range(24, 65)
LONGEST_RETRY_AFTER_S = 86_400.0


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of an attempt."""

    delivered: bool
    http_status: int | None = None
    error: str | None = None
    is_gone: bool = False
    """The receiver answered 410: nothing is sent to it again."""
    retry_after_s: float = 0.0
    """The wait that the receiver asked for."""


class AddressRefused(Exception):
    """Nothing is sent to this URL. The message is why, without the URL."""


class Webhooks:
    """Sends to public addresses; with ``allow_private`` to any. Close it with ``aclose``."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, url: str, secrets: tuple[str, ...], outlet_id: int, alert: Alert) -> Outcome:
        """Make an attempt. Errors of the receiver or the network are outcomes, never raised."""
        body = payload(alert)
        headers = signed(secrets, message_id(outlet_id, alert), datetime.now(UTC), body)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                request = await self._request(url, headers, body)
                # The body is not read: it could be endless.
                response = await self._http.send(request, stream=True)
                await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(delivered=False, error=f"no answer within {TIMEOUT_S:g} s")
        except (AddressRefused, OSError) as error:
            return Outcome(delivered=False, error=str(error))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Outcome(delivered=False, error=f"{type(error).__name__}: {_without(url, str(error))}")
        return _judge(response)

    async def _request(self, url: str, headers: dict[str, str], body: str) -> httpx.Request:
        """A request to the address that was checked, even if the name resolves to another one later."""
        host = httpx.URL(url).host
        address = await self._address(host, httpx.URL(url).port or 0)
        request = self._http.build_request(
            "POST", url, headers=headers, content=body, extensions={"sni_hostname": host}
        )
        request.headers["host"] = request.url.netloc.decode("ascii").rpartition("@")[2]
        request.url = request.url.copy_with(host=address)
        return request

    async def _address(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        try:
            resolved = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise AddressRefused("the host name has no address") from None
        addresses = [str(address[0]) for *_, address in resolved]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused("the address is private; COINWATCH_WEBHOOKS_ALLOW_PRIVATE allows it")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is public; one that contains a private address is not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if inside and not is_public(str(inside)):
            return False
    return ip.is_global and not ip.is_multicast


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
    try:
        is_private = host == "localhost" or not is_public(host)
    except ValueError:  # a name: its address is checked when something is sent
        is_private = False
    if is_private and not allow_private:
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
    phrase = f"{status} {response.reason_phrase}".strip()
    why = f"{phrase}: redirects are not followed" if response.is_redirect else phrase
    wait_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC)) or 0.0
    return Outcome(
        delivered=False, http_status=status, error=why, retry_after_s=min(wait_s, LONGEST_RETRY_AFTER_S)
    )


def _without(url: str, text: str) -> str:
    return text.replace(url, "the URL")[:200]
