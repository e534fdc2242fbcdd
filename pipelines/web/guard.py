"""A guard in front of Dagster's web server, which has no login and trusts every page a browser shows.

Without it, a page of any origin can make a browser on this machine change assets: by a link to
``/graphql?query=mutation…``, by a form, by a websocket, or after binding its own name to 127.0.0.1 (DNS
rebinding).
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pipelines.web.access import CHALLENGE, Login

log = structlog.get_logger()

HEALTH_PATH = "/server_info"
"""Needs no token: it has Dagster's version and nothing else."""
LOG_EVERY_S = 60.0
READING = ("GET", "HEAD", "OPTIONS")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str


class Guard:
    """An ASGI application that refuses what Dagster must not see.

    Refused are requests to a name that is not ours, from a page of another origin, operations of GraphQL by
    anything but POST with JSON, and, with a login, requests without the token.

    Args:
        app: Dagster's application.
        host: The address or name that the server listens on.
        url: Dagster's address for browsers, empty when they use an IP address or ``localhost``.
        login: Checks the token; None when no token is required.
    """

    def __init__(self, app: ASGIApp, *, host: str, url: str, login: Login | None) -> None:
        self._app = app
        public = urlsplit(url)
        self._names = {"localhost", host.lower(), *([public.hostname] if public.hostname else [])}
        self._origins = {f"{public.scheme}://{public.netloc}".lower()} if url else set[str]()
        self._login = login
        self._logged_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a websocket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        refused = (
            refused_address(request.headers, self._names, self._origins)
            or (
                refused_operation(scope["method"], scope["path"], request.headers)
                if _is_http(scope)
                else None
            )
            or self._refused_login(request)
        )
        if refused:
            self._log(refused, request.headers)
            await _refuse(refused, scope, receive, send)
        else:
            await self._app(scope, receive, self._with_headers(request, send) if _is_http(scope) else send)

    def _refused_login(self, request: HTTPConnection) -> Refusal | None:
        login, scope = self._login, request.scope
        if login is None or (_is_http(scope) and scope["method"] in READING and scope["path"] == HEALTH_PATH):
            return None
        if login.has_cookie(request) or login.has_bearer(request) or login.has_password(request):
            return None
        return Refusal(401, "the token (COINWATCH_DAGSTER_TOKEN) is missing or wrong")

    def _with_headers(self, request: HTTPConnection, send: Send) -> Send:
        login = self._login
        is_new = login is not None and not login.has_cookie(request) and login.has_password(request)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Frame-Options"] = "DENY"  # a page of another origin must not show it
                if login is not None and is_new:
                    headers.append("Set-Cookie", login.new_cookie())
            await send(message)

        return with_headers

    def _log(self, refused: Refusal, headers: Headers) -> None:
        """Log a refusal, once a minute for each reason: any page can cause them."""
        now_s = time.monotonic()
        if now_s - self._logged_at.get(refused.reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at[refused.reason] = now_s
            log.warning(
                "refused a request to Dagster",
                reason=refused.reason,
                host=ascii(headers.get("host", ""))[:100],
                origin=ascii(headers.get("origin", ""))[:100],
            )


def refused_address(headers: Headers, names: Collection[str], origins: Collection[str]) -> Refusal | None:
    """Check ``Host`` and ``Origin``. Pure: no I/O.

    Args:
        headers: Headers of a request.
        names: Names, in lower case, that are ours. IP addresses always pass: a page cannot rebind them.
        origins: Origins that are ours beside that of ``Host`` itself.

    Returns:
        Why the request is refused, or None.
    """
    hosts, given = headers.getlist("host"), headers.getlist("origin")
    authority = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if authority is None:
        return Refusal(400, "the header Host is missing or invalid")
    name = authority[1].lower().strip("[]").rstrip(".")
    if name not in names and not _is_address(name):
        return Refusal(403, "the name in the header Host is not ours: set COINWATCH_DAGSTER_URL to use it")
    if not given:
        return None  # not a browser, or a browser that reads
    if len(given) > 1 or not (given[0].lower() in origins or _is_same_origin(given[0], authority)):
        return Refusal(403, "the request comes from a page of another origin")
    return None


def refused_operation(method: str, path: str, headers: Headers) -> Refusal | None:
    """Check that only POST with JSON can change anything. Pure: no I/O.

    Browsers send such a request to another origin only if that origin permits it. Dagster itself also
    takes operations from the query of a GET, and from a POST of any type.
    """
    if method not in READING:
        types = headers.getlist("content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
            return Refusal(
                415, "requests that change anything need the header Content-Type: application/json"
            )
    elif path.rstrip("/") == "/graphql" and not (method == "GET" and _takes_html(headers)):
        return Refusal(405, "operations of GraphQL are taken by POST with JSON")
    return None


def _takes_html(headers: Headers) -> bool:
    """Whether Dagster answers with its playground, which runs nothing, as its own test of the header is."""
    return "text/html" in headers.get("accept", "")


def _is_same_origin(origin: str, authority: re.Match[str]) -> bool:
    try:
        parts = urlsplit(origin.lower())
        default = _PORTS.get(parts.scheme)
        return (
            default is not None
            and parts.netloc != ""
            and parts.hostname == authority[1].lower().strip("[]")
            and (parts.port or default) == int(authority[2] or default)
        )
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_http(scope: Scope) -> bool:
    return bool(scope["type"] == "http")


async def _refuse(refused: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    challenge = {"WWW-Authenticate": CHALLENGE} if refused.status == 401 else {}
    response: Response = PlainTextResponse(f"{refused.reason}\n", refused.status, challenge)
    if _is_http(scope):
        await response(scope, receive, send)
    else:
        await WebSocket(scope, receive, send).send_denial_response(response)
