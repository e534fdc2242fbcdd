"""The one HTTP client: limits, timeouts, retries and errors of every REST request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import stamina

from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.times import from_datetime
from sources.budgets import LONGEST_BLOCK_S, Budget, LocalBudget
from sources.exchanges.base import Exchange, RateLimit, RestRequest

__all__ = ["Answer", "Budget", "ErrorRules", "HttpSource", "LocalBudget", "Patience", "exchange_http"]

MAX_BODY = 64 * 1024 * 1024
_NEVER_BY_PROXY = ("all://127.0.0.1", "all://localhost", "all://[::1]")
"""A proxy of the environment is for the world outside, not for a simulator on this machine."""
_BLOCKS_S = {429: 5.0, 418: 120.0}
"""How long nobody asks after such a status, when the exchange names no time itself."""

# A failure that passes is no news; one that does not is raised.
stamina.instrumentation.set_on_retry_hooks([])


class Answer(msgspec.Struct, frozen=True):
    """A body, and the exchange's clock when it answered (None when it sent no ``Date``)."""

    body: bytes
    date_us: int | None
    is_unchanged: bool = False
    """304: there is nothing newer than what the request named; the body is empty."""
    etag: str | None = None
    """With ``last_modified``: what to name in the next request, where the answer says so."""
    last_modified: str | None = None


class Patience(msgspec.Struct, frozen=True):
    """How long to wait for an answer, and how often to ask again."""

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0


class ErrorRules(msgspec.Struct, frozen=True):
    """How an exchange says errors in its bodies; see ``Exchange``."""

    error_in: Callable[[bytes], str | None] = lambda body: None
    throttled: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()


class HttpSource:
    """GETs below one REST root. ``async with`` opens it; tasks may share it.

    ``reserve`` is the share of the limit left to others (see ``Budget``); ``headers`` are sent with
    each request, a key for one. ``takes_markup``: feeds and pages, of which XML and HTML are no
    failure, and which may have moved elsewhere.
    """

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
    ) -> None:
        self.name = name
        self.root = root.rstrip("/")
        self.host = self.root.partition("://")[2]
        """What budgets know it by."""
        self._budget = budget
        self._limit = limit
        self._reserve = reserve
        self._transport = transport
        self._errors = errors or ErrorRules()
        self._patience = patience or Patience()
        self._takes_markup = takes_markup
        accepted = "application/xml, text/html;q=0.9, */*;q=0.5" if takes_markup else "application/json"
        self._headers = {"User-Agent": "coinwatch", "Accept": accepted, **(headers or {})}
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(
            # To read the certificates takes 20 ms and more, for which nothing else would run.
            verify=await asyncio.to_thread(_tls),
            transport=self._transport,
            mounts=dict.fromkeys(_NEVER_BY_PROXY),
            timeout=httpx.Timeout(self._patience.read_s, connect=self._patience.connect_s),
            headers=self._headers,
            follow_redirects=self._takes_markup,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, request: RestRequest) -> Answer:
        """Ask, within the limit, again after passing failures.

        Raises Retryable when the failures do not pass or the exchange wants a long pause, Fatal for
        a refusal, BadMessage for what is no API's answer; never an exception of the HTTP library.
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
        told = response.headers
        if response.status_code == 304:
            return Answer(b"", _date_us(told.get("Date")), is_unchanged=True)
        if not response.is_success:
            raise await self._refusal(request, response, body)
        if body.lstrip()[:1] == b"<" and not self._takes_markup:
            raise BadMessage(self.name, f"{request.path} answered a page of HTML, not JSON", body)
        message = self._errors.error_in(body)
        if message is not None:
            raise await self._said(f"{request.path}: {message}", message)
        etag, last_modified = told.get("ETag"), told.get("Last-Modified")
        return Answer(body, _date_us(told.get("Date")), etag=etag, last_modified=last_modified)

    @asynccontextmanager
    async def _response(self, request: RestRequest) -> AsyncIterator[httpx.Response]:
        """The open response; whatever the library raises while it is open becomes ours."""
        if self._client is None:
            raise RuntimeError("an HttpSource is opened by async with")
        try:
            async with (
                asyncio.timeout(self._patience.total_s),
                self._client.stream(
                    "GET",
                    f"{self.root}{request.path}",
                    params=request.params or None,  # an empty one would cut off what the path has
                    headers=request.headers,
                ) as response,
            ):
                yield response
        except TimeoutError as error:
            raise Retryable(
                self.name, f"{request.path}: no answer within {self._patience.total_s:g} s"
            ) from error
        except httpx.InvalidURL as error:
            raise Fatal(self.name, f"{self.root}{request.path}: {error}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Retryable(self.name, f"{request.path}: {type(error).__name__} {error}".rstrip()) from error

    async def _body(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > MAX_BODY:
                raise BadMessage(self.name, f"an answer of more than {MAX_BODY:,} bytes", chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _refusal(self, request: RestRequest, response: httpx.Response, body: bytes) -> SourceError:
        """The error that an unsuccessful status means."""
        status = response.status_code
        what = f"{request.path}: HTTP {status} {_message(body)}".rstrip()
        wait_s = _retry_after_s(response.headers)
        if status in _BLOCKS_S:
            wait_s = _BLOCKS_S[status] if wait_s is None else wait_s
            await self._budget.block(self.host, self._limit.scope, wait_s)
            return Retryable(self.name, what, retry_after_s=wait_s)
        if response.is_redirect:
            return Fatal(self.name, f"{what} to {response.headers['Location'][:200]}; check its REST URL")
        if status >= 500 or status == 408:
            return Retryable(self.name, what, retry_after_s=wait_s)
        message = self._errors.error_in(body)
        return Fatal(self.name, what) if message is None else await self._said(what, message)

    async def _said(self, what: str, message: str) -> SourceError:
        """The error that the exchange's own message means."""
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
) -> HttpSource:
    """The client for an exchange's REST API; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        exchange.name,
        root,
        budget,
        exchange.rest_limit.scaled(scale),
        reserve=reserve,
        errors=ErrorRules(exchange.error_in, exchange.throttled_errors, exchange.passing_errors),
        patience=patience,
    )


def _wait_before_retry(error: Exception) -> bool | float:
    """For stamina: whether to try again, or after how many seconds the exchange allows it."""
    if not isinstance(error, Retryable):
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s if error.retry_after_s <= LONGEST_BLOCK_S else False


def _message(body: bytes) -> str:
    """What an error body says: ``{"code":-1121,"msg":"Invalid symbol."}``, ``{"message":"NotFound"}``."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "" if body.lstrip()[:1] == b"<" else body[:200].decode(errors="replace")
    if isinstance(answer, dict):
        for key in ("msg", "message", "error"):
            if answer.get(key):
                return str(answer[key])[:200]
    return body[:200].decode(errors="replace")


def _date_us(header: str | None) -> int | None:
    moment = _http_date(header)
    return from_datetime(moment) if moment else None


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """``Retry-After`` in seconds; it may be a number or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(header: str | None) -> datetime | None:
    """``Tue, 11 Nov 2025 00:17:04 GMT``; None when it is absent or no date."""
    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
