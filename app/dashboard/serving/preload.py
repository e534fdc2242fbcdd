"""Speeds up the first page in a browser: the files it needs are announced at once and served from memory.

Streamlit's own page fetches the code of an element only when that element is drawn, and the code of the chart
only when React has mounted it: three round trips, one after the other, before the first candle.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CODE = Path(streamlit.__file__).with_name("static") / "static" / "js"
EVERYWHERE = ("Html", "ButtonGroup", "Multiselect", "Selectbox")
CHARTS = ("BidiComponent", "DownloadButton")
TABLES = ("DataFrame",)
"""Names of elements of Streamlit. Those missing from a release are skipped."""

COMPONENT = "streamlit-echarts.streamlit_echarts"
_COMPONENTS = "_stcore/bidi-components"
_HASHED = re.compile(r"/static/(?:js|css)/[\w.-]+\.[\w-]{8}\.(?:js|css)$|/bidi-components/.*-[\w-]{8}\.js$")
_IMPORTED = re.compile(rb'(?:from|import)"\./([\w.-]+\.js)"')

MOST_BYTES = 64_000_000
"""The limit of all cached answers together."""
_LEAST_ZIPPED_BYTES = 1_000
_FOREVER = b"public, immutable, max-age=31536000"
"""The name of such a file contains a hash of its content."""


def needed(parts: Iterable[str], folder: Path = CODE) -> list[str]:
    """The files of ``parts`` in ``folder`` and all their imports, each once."""
    waiting = [path.name for part in parts for path in sorted(folder.glob(f"{part}.*.js"))]
    names: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name not in names and (folder / name).is_file():
            names[name] = None
            waiting += [imported.decode() for imported in _IMPORTED.findall((folder / name).read_bytes())]
    return list(names)


def preloads() -> dict[str, str]:
    """The Link header of each kind of page, by the page's path; the empty path is the first page."""
    page = (CODE.parents[1] / "index.html").read_text(encoding="utf-8")
    spec = find_spec("streamlit_echarts")  # can be imported only where Streamlit runs
    built = Path(spec.origin if spec and spec.origin else "").parent / "frontend" / "build"
    chart = [f"{_COMPONENTS}/{COMPONENT}/{path.name}" for path in built.glob("index-*.js")]

    def header(parts: Iterable[str], others: Iterable[str] = ()) -> str:
        # The page itself names some already.
        code = [f"static/js/{name}" for name in needed(parts) if name not in page]
        return ", ".join(f"<{address}>; rel=modulepreload" for address in (*others, *code))

    overview = header((*EVERYWHERE, *TABLES))
    return {"": overview, "overview": overview, "*": header((*EVERYWHERE, *CHARTS), chart)}


@dataclass(frozen=True)
class _Answer:
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    zipped: bytes | None


class Assets:
    """ASGI middleware: caches Streamlit's answers for files that never change, and announces needed files.

    Streamlit finds, checks and reads each file once; only complete, successful answers are cached.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: dict[str, _Answer] = {}
        self._bytes = 0
        self._preloads = preloads()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
        elif _HASHED.search(scope["path"]):
            await self._asset(scope, receive, send)
        elif "text/html" in Headers(scope=scope).get("accept", ""):
            await self._page(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        link = self._preloads.get(scope["path"].strip("/").rpartition("/")[2], self._preloads["*"])

        async def send_with_link(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message)["link"] = link
            await send(message)

        await self._app(scope, receive, send_with_link)

    async def _asset(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        # Streamlit's answer to the page of another host depends on that host.
        if "range" in headers or "origin" in headers or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        answer = self._answers.get(scope["path"])
        if answer is None:
            answer = await self._fetch(scope, receive, send)
            if answer is None:
                return
        body, answered = answer.body, list(answer.headers)
        if answer.zipped is not None and "gzip" in headers.get("accept-encoding", ""):
            body = answer.zipped
            answered.append((b"content-encoding", b"gzip"))
        answered += [(b"content-length", str(len(body)).encode()), (b"vary", b"accept-encoding")]
        await send({"type": "http.response.start", "status": 200, "headers": answered})
        await send({"type": "http.response.body", "body": body})

    async def _fetch(self, scope: Scope, receive: Receive, send: Send) -> _Answer | None:
        """The answer of Streamlit; None when it was passed on unchanged and must not be cached."""
        start: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            if start.get("status") != 200:
                await send(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        # A plain request for the whole file.
        asked = [pair for pair in scope["headers"] if pair[0] == b"host"]
        await self._app({**scope, "headers": asked}, receive, collect)
        if start.get("status") != 200:
            return None
        body = b"".join(parts)
        own = (b"content-length", b"content-encoding", b"vary", b"cache-control")
        headers = tuple(pair for pair in start["headers"] if pair[0].lower() not in own)
        headers += ((b"cache-control", _FOREVER),)
        worth = len(body) >= _LEAST_ZIPPED_BYTES
        answer = _Answer(headers, body, await asyncio.to_thread(gzip.compress, body, 6) if worth else None)
        if self._bytes + len(body) <= MOST_BYTES:
            self._bytes += len(body)
            self._answers[scope["path"]] = answer
        return answer
