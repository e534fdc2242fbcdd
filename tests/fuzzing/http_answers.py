"""HTTP answers as a hostile server sends them, and the clients that read them."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

from app.alerts.outlets.webhooks import Outcome, Webhooks
from coinwatch.alerts import Alert
from coinwatch.errors import SourceError
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Answer, HttpSource, Patience
from sources.providers.coingecko import error_in
from sources.providers.news import feed_request
from tests.fuzzing.mutations import mutated

LONGEST = 200_000
ONCE = Patience(connect_s=5, read_s=2, total_s=5, attempts=1)
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
ALERT = Alert(
    event_id=7,
    rule_id=3,
    symbol="BTC-USDT",
    exchange="kraken",
    price=7.5,
    ts_us=1_768_478_400_000_000,
    message="up",
)
_DATE = b"Date: Tue, 11 Nov 2025 00:17:04 GMT\r\n"


def _answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *headers, b"Connection: close", b"", body])


_PACKED = gzip.compress(b'{"a":[1,2,3],"b":"' + b"x" * 2_000 + b'"}')
VALID = (
    _answer(b"200 OK", b'{"a":[1,2]}', b"Content-Type: application/json", _DATE[:-2]),
    _answer(
        b"200 OK", _PACKED, b"Content-Encoding: gzip", b'ETag: W/"abc"', b"Last-Modified: Tue, 11 Nov 2025"
    ),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    + _DATE
    + b"\r\n5\r\n[1,2,\r\n2;x=y\r\n3]\r\n0\r\nTrailer: a\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n<rss version='2.0'><channel><item><title>a</title></item></channel></rss>",
    _answer(
        b"302 Found", b"moved", b"Location: /next?a=b#c", b"Set-Cookie: a=b; Expires=Tue, 11 Nov 2025; Path=/"
    ),
    _answer(b"307 Temporary", b"", b"Location: https://user:secret@example.org:8443//x/../y"),
    _answer(b"304 Not Modified", b"", b'ETag: "abc"'),
    _answer(b"429 Too Many", b'{"message":"slow"}', b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
    _answer(b"503 Later", b"<html>", b"Retry-After: 120"),
    _answer(b"410 Gone", b""),
    _answer(b"404 Not Found", b'{"status":{"error_code":1,"error_message":"no"}}'),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
)


class Unlimited:
    """A budget that every request may be paid from."""

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        """Allow the request."""

    async def block(self, host: str, scope: str, seconds: float) -> None:
        """Ignore it: the next answer is another one."""
        assert 0 <= seconds <= 86_400


class HostileServer:
    """Answers each request with the next of a random's invalid answers, and closes the connection."""

    def __init__(self, random: Random) -> None:
        self.url = ""
        self._random = random

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(mutated(self._random, VALID, LONGEST))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def hostile_server(random: Random) -> AsyncIterator[HostileServer]:
    """Serve on a free port of this machine."""
    hostile = HostileServer(random)
    server = await asyncio.start_server(hostile.serve, "127.0.0.1", 0)
    hostile.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield hostile
    finally:
        server.close()


async def read_answers(count: int, seed: int) -> None:
    """Read ``count`` invalid answers, by the client of APIs, that of feeds, and that of webhooks.

    Raises what none of them should raise.
    """
    limit = RateLimit(capacity=1, per_second=1)
    request = RestRequest("/thing", {"a": "b"})
    webhooks = Webhooks(allow_private=True)
    async with (
        hostile_server(Random(f"answers {seed}")) as server,
        HttpSource("api", server.url, Unlimited(), limit, patience=ONCE) as api,
        HttpSource("feed", server.url, Unlimited(), limit, patience=ONCE, takes_markup=True) as feed,
    ):
        etag: str | None = None
        for number in range(count):
            match number % 3:
                case 0:
                    with suppress(SourceError):
                        error_in((await api.get(request)).body)
                case 1:
                    with suppress(SourceError):
                        answer = await feed.get(feed_request(f"{server.url}/feed", etag, etag))
                        assert isinstance(answer, Answer)
                        etag = answer.etag or answer.last_modified or etag
                case _:
                    outcome = await webhooks.send(f"{server.url}/hook", (SECRET,), 1, ALERT)
                    assert isinstance(outcome, Outcome)
                    assert 0 <= outcome.retry_after_s <= 86_400
    await webhooks.aclose()
