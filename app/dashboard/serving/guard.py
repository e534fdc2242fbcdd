"""Refuses requests that no page of the dashboard makes, before anything of their bodies is read.

Streamlit has routes that this dashboard does not use: uploads are kept in memory, and programs can drive the
pages. Its other routes are read with GET and have no body; everything else is sent by websocket.
"""

from __future__ import annotations

import re

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dashboard.serving.access import SETTING, Access
from ingest_daemon.log_throttle import LogThrottle

METHODS = ("GET", "HEAD", "OPTIONS")
_UNUSED = re.compile(r"/_stcore/(?:upload_file|agent)(?:/|$)")
_SHOWN = 80

log = structlog.get_logger(__name__)


class Guard:
    """ASGI middleware in front of Streamlit.

    Args:
        app: the application behind it.
        access: who may see the dashboard.
        pictures: whether pages show pictures from other hosts.
    """

    def __init__(self, app: ASGIApp, access: Access, *, pictures: bool) -> None:
        self._app = app
        self._access = access
        self._policy = content_policy(pictures=pictures)
        self._refused = LogThrottle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = refuse(scope, self._access)
        if refusal is not None:
            self._log(scope, refusal)
            await refusal(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = self._policy
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _log(self, scope: Scope, refusal: PlainTextResponse) -> None:
        if (suppressed := self._refused.suppressed()) is not None:
            log.warning(
                "refused a request that no page makes",
                method=scope.get("method", "websocket"),
                path=ascii(scope["path"][:_SHOWN]),
                status=refusal.status_code,
                suppressed=suppressed,
            )


def refuse(scope: Scope, access: Access) -> PlainTextResponse | None:
    """The answer to a request that is refused; None for all others. Pure: no I/O.

    The answer closes the connection, so that the rest of a body is not received.
    """
    headers = Headers(scope=scope)
    if not access.answers_to(headers.get("host", "")):
        text = (
            "This dashboard has no sign-in, and answers only to localhost. Set up a sign-in, or set "
            f"{SETTING}=off if something else decides who may see it.\n"
        )
        return _answer(403, text)
    if _UNUSED.search(scope["path"]):
        return _answer(403, "No page takes files, and no program can drive the pages.\n")
    if scope["type"] == "http" and scope["method"] not in METHODS:
        return _answer(405, "Pages are only read here.\n", allow=", ".join(METHODS))
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return _answer(413, "A request has no body here.\n")
    return None


def content_policy(*, pictures: bool) -> str:
    """What a browser may load for a page: nothing from other hosts, but pictures if they are shown."""
    images = "; img-src 'self' data: blob: https:" if pictures else ""
    return (
        f"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:{images}; object-src 'none'; "
        "base-uri 'self'; frame-ancestors 'self'"
    )


def _answer(status: int, text: str, **headers: str) -> PlainTextResponse:
    return PlainTextResponse(text, status, {"connection": "close", **headers})
