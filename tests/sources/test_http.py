"""The HTTP client against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

import sources.http
from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.times import from_datetime
from sources.budgets import LocalBudget
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import HttpSource, Patience, exchange_http
from sources.providers.coingecko import coingecko_http
from sources.providers.coinmarketcap import coinmarketcap_http
from tests.sources.scripted_server import SILENCE, answer, scripted
from tests.waiting import eventually

LIMIT = RateLimit(capacity=100, per_second=1_000)
HASTY = Patience(connect_s=1, read_s=0.3, total_s=0.6, attempts=3, first_wait_s=0.01, longest_wait_s=0.02)
ASK = RestRequest("/api/thing", {"symbol": "BTC/USD", "limit": "2"})
DATE = "Tue, 11 Nov 2025 00:17:04 GMT"


def source(root: str, *, budget: LocalBudget | None = None, patience: Patience = HASTY) -> HttpSource:
    return HttpSource("venue", root, budget or LocalBudget(), LIMIT, patience=patience)


async def test_an_answer_has_its_body_and_the_exchanges_clock() -> None:
    async with scripted(answer('{"a":1}', date=DATE)) as server, source(f"{server.root}/root/") as http:
        got = await http.get(ASK)
    assert got.body == b'{"a":1}'
    assert got.date_us == from_datetime(datetime(2025, 11, 11, 0, 17, 4, tzinfo=UTC))
    assert server.requests == ["/root/api/thing?symbol=BTC%2FUSD&limit=2"]


@pytest.mark.parametrize("sent", [answer("[]"), answer("[]", date="soon")])
async def test_without_a_date_the_clock_is_unknown(sent: bytes) -> None:
    async with scripted(sent) as server, source(server.root) as http:
        assert (await http.get(ASK)).date_us is None


@pytest.mark.parametrize(
    "failure",
    [
        answer("oops", 500),
        answer("<html>bad gateway</html>", 502),
        answer('{"message":"slow down"}', 429, retry_after="0"),
        answer("[1,2", length=40),
        b"HTTP/1.1 bad\r\n\r\n",
        SILENCE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        answer(b"no gzip", content_encoding="gzip"),
    ],
    ids=["500", "502", "429", "cut", "no http", "silence", "no body", "broken gzip"],
)
async def test_temporary_failures_are_retried(failure: bytes) -> None:
    async with scripted(failure, answer("[]")) as server, source(server.root) as http:
        assert (await http.get(ASK)).body == b"[]"
    assert len(server.requests) == 2


@pytest.mark.parametrize("failure", [answer("oops", 503), answer("[1,2", length=40), SILENCE])
async def test_a_lasting_failure_is_retryable_after_all_attempts(failure: bytes) -> None:
    async with scripted(failure) as server, source(server.root) as http:
        with pytest.raises(Retryable, match="venue: /api/thing"):
            await http.get(ASK)
    assert len(server.requests) == HASTY.attempts


async def test_a_closed_port_is_retryable() -> None:
    async with scripted(answer("[]")) as server:
        root = server.root
    async with source(root) as http:
        with pytest.raises(Retryable, match="ConnectError"):
            await http.get(ASK)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (answer('{"code":-1121,"msg":"Invalid symbol."}', 400), "HTTP 400 Invalid symbol."),
        (answer('{"message":"NotFound"}', 404), "HTTP 404 NotFound"),
        (answer("<html>blocked</html>", 451), "HTTP 451"),
        (answer("not here", 403), "HTTP 403 not here"),
        (answer("[]", 302, location="https://elsewhere.example/"), "HTTP 302 .* https://elsewhere.example/"),
    ],
    ids=["400", "404", "451", "403", "redirect"],
)
async def test_a_refusal_is_fatal_with_its_message(refusal: bytes, message: str) -> None:
    async with scripted(refusal) as server, source(server.root) as http:
        with pytest.raises(Fatal, match=message):
            await http.get(ASK)
    assert len(server.requests) == 1


async def test_html_with_status_200_is_a_bad_message() -> None:
    async with scripted(answer("\n<!DOCTYPE html><html>")) as server, source(server.root) as http:
        with pytest.raises(BadMessage, match="HTML") as caught:
            await http.get(ASK)
    assert caught.value.raw == b"\n<!DOCTYPE html><html>"


@pytest.mark.parametrize("retry_after", ["1", "Tue, 11 Nov 2025 00:17:05 GMT"], ids=["seconds", "date"])
async def test_retry_after_holds_all_requests(retry_after: str) -> None:
    budget = LocalBudget()
    loop = asyncio.get_running_loop()
    refusal = answer("", 429, retry_after=retry_after, date=DATE)
    async with (
        scripted(refusal, answer("[]")) as server,
        source(server.root, budget=budget) as first,
        source(server.root, budget=budget) as second,
    ):
        start_s = loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(first.get(ASK))
            await asyncio.sleep(0.2)
            group.create_task(second.get(ASK))
        assert loop.time() - start_s >= 0.99
    assert len(server.requests) == 3


async def test_a_long_ban_raises_instead_of_waiting() -> None:
    async with scripted(answer("", 418)) as server, source(server.root) as http:
        for _ in range(2):
            with pytest.raises(Retryable) as caught:
                await http.get(ASK)
            assert caught.value.retry_after_s == pytest.approx(120, abs=5)
    assert len(server.requests) == 1


async def test_cancelling_leaves_nothing_behind() -> None:
    async with scripted(SILENCE) as server, source(server.root, patience=Patience()) as http:
        task = asyncio.create_task(http.get(ASK))
        await eventually(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_wrong_address_is_a_source_error() -> None:
    async with source("http://[::1") as http:
        with pytest.raises(SourceError):
            await http.get(ASK)


async def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with scripted(answer("[]")) as server, source(server.root) as http:
        assert (await http.get(ASK)).body == b"[]"


async def test_requests_need_an_open_client() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await source("http://127.0.0.1:1").get(ASK)


@pytest.mark.parametrize(
    ("message", "error", "tries"),
    [
        ("EQuery:Unknown asset pair", Fatal, 1),
        ("EService:Unavailable", Retryable, 3),
    ],
)
async def test_errors_with_status_200(message: str, error: type[SourceError], tries: int) -> None:
    refused = answer(f'{{"error":["{message}"]}}')
    kraken = EXCHANGES["kraken"]
    async with (
        scripted(refused) as server,
        exchange_http(kraken, server.root, LocalBudget(), scale=1_000, patience=HASTY) as http,
    ):
        with pytest.raises(error, match=message):
            await http.get(kraken.instruments_request())
    assert len(server.requests) == tries


async def test_a_throttling_message_with_status_400_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.http._BLOCKS_S, 429, 0.01)
    gateio = EXCHANGES["gateio"]
    slow_down = answer('{"label":"TOO_FAST","message":"Frequency is limited"}', 400)
    wrong = answer('{"label":"INVALID_PARAM_VALUE","message":"Candlestick range too broad"}', 400)
    async with (
        scripted(slow_down, wrong) as server,
        exchange_http(gateio, server.root, LocalBudget(), scale=1_000, patience=HASTY) as http,
    ):
        with pytest.raises(Fatal, match="HTTP 400 Candlestick range too broad"):
            await http.get(gateio.instruments_request())
    assert len(server.requests) == 2


async def test_a_throttling_message_with_status_200_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.http._BLOCKS_S, 429, 0.5)
    kraken = EXCHANGES["kraken"]
    loop = asyncio.get_running_loop()
    slow_down, fine = answer('{"error":["EAPI:Rate limit exceeded"]}'), answer('{"error":[],"result":{}}')
    async with (
        scripted(slow_down, fine) as server,
        exchange_http(kraken, server.root, LocalBudget(), scale=1_000, patience=HASTY) as http,
    ):
        start_s = loop.time()
        await http.get(kraken.instruments_request())
        assert loop.time() - start_s >= 0.49


def feed(root: str, largest: int = 1_000_000) -> HttpSource:
    return HttpSource("wire", root, LocalBudget(), LIMIT, patience=HASTY, takes_markup=True, largest=largest)


async def test_redirects_are_bounded() -> None:
    async with scripted(answer("", 302, location="/again")) as server, feed(server.root) as http:
        with pytest.raises(Fatal, match="more than 5 redirects"):
            await http.get(ASK)
    assert len(server.requests) == 6


async def test_the_body_of_a_redirect_is_not_read() -> None:
    bomb = answer(gzip.compress(bytes(50_000_000)), 302, location="/feed", content_encoding="gzip")
    began_s = time.process_time()
    async with scripted(bomb, answer("<rss/>")) as server, feed(server.root) as http:
        assert (await http.get(ASK)).body == b"<rss/>"
    assert time.process_time() - began_s < 1


async def test_a_body_is_unpacked_no_further_than_its_limit() -> None:
    bomb = gzip.compress(gzip.compress(bytes(200_000_000)))
    for sent in (
        answer(gzip.compress(bytes(100_000_000)), content_encoding="gzip"),
        answer(b"\0" * 1_000_001),
    ):
        async with scripted(sent) as server, feed(server.root) as http:
            with pytest.raises(BadMessage, match="larger than 1,000,000 bytes"):
                await http.get(ASK)
    for coding in ("gzip, gzip", "br", "deflate", "zstd", "x" * 5_000):
        async with scripted(answer(bomb, content_encoding=coding)) as server, feed(server.root) as http:
            with pytest.raises(BadMessage, match="has the encoding"):
                await http.get(ASK)


async def test_what_follows_a_gzip_stream_is_ignored() -> None:
    packed = gzip.compress(b"<rss/>")
    longer = answer(packed + b"x" * 500_000, content_encoding="gzip")
    async with scripted(longer) as server, feed(server.root) as http:
        assert (await http.get(ASK)).body == b"<rss/>"
    async with scripted(answer(packed[:-4], content_encoding="gzip")) as server, feed(server.root) as http:
        with pytest.raises(Retryable, match="cut"):
            await http.get(ASK)


async def test_a_body_that_drips_is_ended() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        ended.release()

    ended = asyncio.Semaphore(0)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    began_s = time.monotonic()
    async with feed(root) as http:
        with pytest.raises(Retryable, match=r"no answer within 0\.6 s"):
            await http.get(ASK)
    assert time.monotonic() - began_s < 5
    for _ in range(HASTY.attempts):
        await ended.acquire()
    server.close()


@pytest.mark.parametrize(
    "message", ["[" * 900 + "]" * 900, "9" * 5_000, '"' + "x" * 100_000 + '"', "{}", "1e400"]
)
async def test_messages_of_refusals_may_be_anything(message: str) -> None:
    body = f'{{"msg":{message},"status":{{"error_code":{message},"error_message":{message}}}}}'
    for make, status in itertools.product((coingecko_http, coinmarketcap_http), (200, 400)):
        async with (
            scripted(answer(body, status)) as server,
            make(server.root, LocalBudget(), key=None, scale=1_000, patience=HASTY) as http,
        ):
            with suppress(SourceError):
                await http.get(ASK)
