"""The HTTP client of all REST requests: rate limits, timeouts, retries and error translation."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies

import httpx
import msgspec
import stamina

from coinwatch.errors import RAW_SHOWN, BadMessage, Fatal, Retryable, SourceError
from coinwatch.outside.http_dates import http_date, retry_after_s
from coinwatch.times import from_datetime
from sources.budgets import LONGEST_BLOCK_S, Budget, LocalBudget
from sources.exchanges.base import Exchange, RateLimit, RestRequest
from sources.public_network import AddressRefused, PublicTransport, is_private_host

__all__ = ["Answer", "Budget", "ErrorRules", "HttpSource", "LocalBudget", "Patience", "exchange_http"]

MAX_BODY = 64 * 1024 * 1024
"""In bytes, decompressed. The longest answers, lists of all coins or protocols, have 10 MB."""
MAX_REDIRECTS = 5
_GZIP = zlib.MAX_WBITS | 16
"""The ``wbits`` by which zlib reads gzip."""
_NEVER_BY_PROXY = ("all://127.0.0.1", "all://localhost", "all://[::1]")
"""The environment's proxy is never used for a simulator on this machine."""
_BLOCKS_S = {429: 5.0, 418: 120.0}
"""How long all requests stop after such a status when the answer has no ``Retry-After``."""

# No log line for each retry: a temporary failure is not reported, a lasting one is raised.
stamina.instrumentation.set_on_retry_hooks([])


class Answer(msgspec.Struct, frozen=True):
    """The body of an answer, and the server's clock (None when it sent no ``Date``)."""

    body: bytes
    date_us: int | None
    is_unchanged: bool = False
    """Status 304: nothing changed since the ``etag`` of the request; the body is empty."""
    etag: str | None = None
    """To send with the next request, like ``last_modified``; None when the answer has none."""
    last_modified: str | None = None


class Patience(msgspec.Struct, frozen=True):
    """Timeouts in seconds, and how often and how soon to retry."""

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0


class ErrorRules(msgspec.Struct, frozen=True):
    """How an API reports errors in its bodies; see the class variables of ``Exchange``."""

    error_in: Callable[[bytes], str | None] = lambda body: None
    throttled: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()


class HttpSource:
    """A client for GET requests below one REST root. ``async with`` opens it; tasks may share it."""

    def __init__(
        self,
        name: str,
        root: str,
        budget: Budget,
        limit: RateLimit,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        reserve: float = 0.0,
        errors: ErrorRules | None = None,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
        takes_markup: bool = False,
        largest: int = MAX_BODY,
    ) -> None:
        """Prepare the client; no connection is opened.

        Args:
            name: The source's name in errors.
            root: The URL that request paths are appended to.
            budget: The budget that requests are paid from.
            limit: The rate limit of the API.
            transport: Replaces the network, in tests.
            reserve: The share of the limit to leave to others; see ``Budget``.
            errors: How the API reports errors in its bodies.
            patience: Timeouts and retries.
            headers: Sent with each request, such as an API key.
            takes_markup: For feeds and pages: XML and HTML are accepted, and redirects are followed. Only
                public addresses are connected to, and ``root`` if it is written as a private one.
            largest: The most bytes of a body, decompressed.
        """
        self.name = name
        self.root = root.rstrip("/")
        self.host = self.root.partition("://")[2]
        """The key of its budget."""
        self._budget = budget
        self._limit = limit
        self._reserve = reserve
        self._transport = transport
        self._errors = errors or ErrorRules()
        self._patience = patience or Patience()
        self._takes_markup = takes_markup
        accepted = "application/xml, text/html;q=0.9, */*;q=0.5" if takes_markup else "application/json"
        # Only gzip, which is unpacked here, within the limit.
        self._headers = {
            "User-Agent": "coinwatch",
            "Accept": accepted,
            "Accept-Encoding": "gzip",
            **(headers or {}),
        }
        self._largest = largest
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # In a thread, because reading the certificates would block the event loop for 20 ms or more.
        tls = await asyncio.to_thread(_tls)
        self._client = httpx.AsyncClient(
            verify=tls,
            transport=self._transport,
            mounts=self._public_only(tls) if self._takes_markup else dict.fromkeys(_NEVER_BY_PROXY),
            timeout=httpx.Timeout(self._patience.read_s, connect=self._patience.connect_s),
            headers=self._headers,
            cookies=no_cookies(),
            follow_redirects=False,  # the client would read the body of a redirect, however long it is
        )
        return self

    def _public_only(self, tls: ssl.SSLContext) -> dict[str, PublicTransport]:
        """How hosts are reached by ``takes_markup``; where a proxy is set, it decides."""
        root = httpx.URL(self.root)
        public = PublicTransport(tls, [(root.host, root.port)] if is_private_host(root.host) else [])
        return dict.fromkeys(
            _NEVER_BY_PROXY if "all" in getproxies() else ("all://", *_NEVER_BY_PROXY), public
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, request: RestRequest) -> Answer:
        """Send a request within the rate limit, and retry temporary failures.

        Raises:
            Retryable: All attempts failed, or the API demands a longer pause.
            Fatal: The API refused the request.
            BadMessage: The answer is not one of an API, or too large.
        """
        async for attempt in stamina.retry_context(
            on=_wait_before_retry,
            attempts=self._patience.attempts,
            timeout=None,
            wait_initial=self._patience.first_wait_s,
            wait_max=self._patience.longest_wait_s,
            wait_jitter=self._patience.first_wait_s,
        ):
            with attempt:
                await self._budget.acquire(
                    self.host, self._limit.scope, self._limit, request.cost, self._reserve
                )
                return await self._ask(request)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _ask(self, request: RestRequest) -> Answer:
        async with self._response(request) as response:
            body = await self._body(response)
        headers = response.headers
        if response.status_code == 304:
            return Answer(b"", _date_us(headers.get("Date")), is_unchanged=True)
        if not response.is_success:
            raise await self._refusal(request, response, body)
        if body.lstrip()[:1] == b"<" and not self._takes_markup:
            raise BadMessage(self.name, f"{request.path} answered with an HTML page, not JSON", body)
        message = self._errors.error_in(body)
        if message is not None:
            raise await self._error_of_message(f"{request.path}: {message}", message)
        etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
        return Answer(body, _date_us(headers.get("Date")), etag=etag, last_modified=last_modified)

    @asynccontextmanager
    async def _response(self, request: RestRequest) -> AsyncIterator[httpx.Response]:
        """The open response; exceptions of the HTTP library become SourceErrors."""
        if self._client is None:
            raise RuntimeError("open the HttpSource with async with")
        try:
            to_send = self._client.build_request(
                "GET",
                f"{self.root}{request.path}",
                params=request.params or None,  # empty params would drop the query of the path
                headers=request.headers,
            )
            async with asyncio.timeout(self._patience.total_s):
                for _ in range(1 + MAX_REDIRECTS):
                    response = await self._client.send(to_send, stream=True)
                    async with aclosing(response):
                        if not (self._takes_markup and response.next_request):
                            yield response
                            return
                    to_send = response.next_request
                raise Fatal(self.name, f"{request.path}: more than {MAX_REDIRECTS} redirects")
        except TimeoutError as error:
            raise Retryable(
                self.name, f"{request.path}: no answer within {self._patience.total_s:g} s"
            ) from error
        except httpx.InvalidURL as error:
            raise Fatal(self.name, f"{self.root}{request.path}: {error}") from error
        except AddressRefused as error:
            raise Fatal(self.name, f"{request.path}: {error}; nothing is requested from it") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Retryable(self.name, f"{request.path}: {type(error).__name__} {error}".rstrip()) from error

    async def _body(self, response: httpx.Response) -> bytes:
        """The unpacked body, read no further than its limit. Raises BadMessage when it is longer."""
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise BadMessage(
                self.name, f"the answer has the encoding {coding[:40]!r}, which was not accepted"
            )
        unzip = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        body = bytearray()
        received = 0
        try:
            async for chunk in response.aiter_raw():
                received += len(chunk)
                body += unzip.decompress(chunk, self._largest + 1 - len(body)) if unzip else chunk
                if max(received, len(body)) > self._largest:
                    problem = f"the answer is larger than {self._largest:,} bytes"
                    raise BadMessage(self.name, problem, bytes(body[:RAW_SHOWN]))
                if unzip and unzip.eof:
                    break
        except zlib.error as error:
            raise httpx.DecodingError(str(error), request=response.request) from error
        if unzip and received and not unzip.eof:
            raise httpx.DecodingError("the gzip stream is cut", request=response.request)
        return bytes(body)

    async def _refusal(self, request: RestRequest, response: httpx.Response, body: bytes) -> SourceError:
        """The error for an unsuccessful status."""
        status = response.status_code
        what = f"{request.path}: HTTP {status} {_message(body)}".rstrip()
        now = http_date(response.headers.get("Date")) or datetime.now(UTC)
        wait_s = retry_after_s(response.headers.get("Retry-After"), now)
        if status in _BLOCKS_S:
            wait_s = _BLOCKS_S[status] if wait_s is None else wait_s
            await self._budget.block(self.host, self._limit.scope, wait_s)
            return Retryable(self.name, what, retry_after_s=wait_s)
        if response.is_redirect:
            target = response.headers.get("Location", "nowhere")[:200]
            return Fatal(self.name, f"{what} to {target}; check its REST URL")
        if status >= 500 or status == 408:
            return Retryable(self.name, what, retry_after_s=wait_s)
        message = self._errors.error_in(body)
        return Fatal(self.name, what) if message is None else await self._error_of_message(what, message)

    async def _error_of_message(self, what: str, message: str) -> SourceError:
        """The error for a message of ``error_in``."""
        if message.startswith(self._errors.throttled):
            await self._budget.block(self.host, self._limit.scope, _BLOCKS_S[429])
            return Retryable(self.name, what, retry_after_s=_BLOCKS_S[429])
        if message.startswith(self._errors.passing):
            return Retryable(self.name, what)
        return Fatal(self.name, what)


def exchange_http(
    exchange: Exchange,
    root: str,
    budget: Budget,
    *,
    scale: float = 1.0,
    reserve: float = 0.0,
    patience: Patience | None = None,
    largest: int = MAX_BODY,
) -> HttpSource:
    """Make the client of an exchange's REST API.

    Args:
        exchange: The exchange.
        root: The URL of its REST API.
        budget: The budget that requests are paid from.
        scale: The setting ``rate_limit_scale``.
        reserve: The share of the limit to leave to others; see ``Budget``.
        patience: Timeouts and retries.
        largest: The most bytes of a body, decompressed.
    """
    return HttpSource(
        exchange.name,
        root,
        budget,
        exchange.rest_limit.scaled(scale),
        reserve=reserve,
        errors=ErrorRules(exchange.error_in, exchange.throttled_errors, exchange.passing_errors),
        patience=patience,
        largest=largest,
    )


def no_cookies() -> CookieJar:
    """A jar that takes none: a server could fill it, or prevent all later requests by an invalid one."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _wait_before_retry(error: Exception) -> bool | float:
    """For stamina: whether to retry, or the seconds to wait before that."""
    if not isinstance(error, Retryable):
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s if error.retry_after_s <= LONGEST_BLOCK_S else False


def _message(body: bytes) -> str:
    """The message of an error body such as ``{"code":-1121,"msg":"Invalid symbol."}``."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "" if body.lstrip()[:1] == b"<" else body[:200].decode(errors="replace")
    if isinstance(answer, dict):
        for key in ("msg", "message", "error"):
            if isinstance(message := answer.get(key), str) and message:
                return message[:200]
    return body[:200].decode(errors="replace")


def _date_us(header: str | None) -> int | None:
    moment = http_date(header)
    return from_datetime(moment) if moment else None


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()
