"""The simulator: simulated exchanges behind a websocket and a REST listener."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as WsRequest
from websockets.http11 import Response as WsResponse

from coinwatch.records import Market
from coinwatch.times import now_us
from simulator.exchanges.base import Answer, Refused, Session, Venue
from simulator.exchanges.binance import Binance
from simulator.exchanges.bitstamp import Bitstamp
from simulator.exchanges.bybit import Bybit
from simulator.exchanges.coinbase import Coinbase
from simulator.exchanges.gateio import Gateio
from simulator.exchanges.gemini import Gemini
from simulator.exchanges.htx import Htx
from simulator.exchanges.kraken import Kraken
from simulator.exchanges.mexc import Mexc
from simulator.exchanges.okx import Okx
from simulator.faults import RestFault, RestFaults, StreamFaults, garbage
from simulator.feed import Feed
from simulator.history import History
from simulator.listeners import Receive, Scope, Send, address_of, listen, serve_http
from simulator.markets import SimMarket, sim_markets
from simulator.providers import PROVIDERS
from simulator.providers.news import OUTLETS, News
from simulator.wire import Client, framing

PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 60.0
LARGEST_REQUEST: Final = 1 << 16
REST_THREADS: Final = 2
"""Few threads, so that REST answers do not delay the stream."""
VENUES: Final[tuple[type[Venue], ...]] = (
    Binance,
    Bitstamp,
    Bybit,
    Coinbase,
    Gateio,
    Gemini,
    Htx,
    Kraken,
    Mexc,
    Okx,
)


class Simulator:
    """Use as ``async with Simulator(trades_per_s=20) as simulator:``; port 0 takes any free port.

    Raises CoinwatchError on entering when a port is taken.
    """

    def __init__(
        self,
        trades_per_s: float = 20.0,
        ws_port: int = 0,
        rest_port: int = 0,
        host: str = "127.0.0.1",
        seed: int = 0,
    ) -> None:
        self.markets = sim_markets(trades_per_s)
        self.requests: Counter[str] = Counter()
        """REST requests by exchange and path, such as ``binance/api/v3/klines``."""
        self.connections: Counter[str] = Counter()
        """Websockets opened so far, by exchange."""
        self.feed = Feed()
        self.ws_url = ""
        self.rest_url = ""
        self._host, self._ws_port, self._rest_port = host, ws_port, rest_port
        self._seed = seed
        self._history = History()
        self._venues = {venue.name: venue(self.markets, self._history) for venue in VENUES}
        self._providers = {make.name: make(self.markets, self._history) for make in PROVIDERS}
        self._clients: dict[Client, Session] = {}
        self._silent: set[str] = set()
        self._rest_faults: dict[str, RestFault] = {}
        self._rest_disturbed: dict[str, RestFaults] = {}
        self._life_s: dict[str, float] = {}
        self._delisted: set[Market] = set()
        self._workers = ThreadPoolExecutor(REST_THREADS, "rest")
        self._stack = AsyncExitStack()
        self._work: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            ws_socket = stack.enter_context(listen(self._host, self._ws_port, "COINWATCH_SIMULATOR_WS_PORT"))
            rest_socket = stack.enter_context(
                listen(self._host, self._rest_port, "COINWATCH_SIMULATOR_REST_PORT")
            )
            await stack.enter_async_context(
                serve(
                    self._websocket,
                    process_request=self._check_path,
                    sock=ws_socket,
                    compression=None,
                    ping_interval=PING_EVERY_S,
                    ping_timeout=PONG_WITHIN_S,
                    max_size=LARGEST_REQUEST,
                    close_timeout=1,
                )
            )
            stack.callback(self._workers.shutdown, wait=False, cancel_futures=True)
            await stack.enter_async_context(serve_http(self._rest, rest_socket))
            self._work = [asyncio.create_task(self.feed.run()), asyncio.create_task(self._beat())]
            stack.push_async_callback(_end, self._work)
            self.ws_url = f"ws://{address_of(ws_socket)}"
            self.rest_url = f"http://{address_of(rest_socket)}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Wait for ``stop``. Raises the exception that ended the simulator's own tasks, if any."""
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, *self._work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    def settings_overrides(self) -> dict[str, str]:
        """Settings that point every simulated exchange and provider here."""
        asked = [name for name in (*self._venues, *self._providers) if name != News.name]
        return {
            **{f"{name}_ws_url": f"{self.ws_url}/{name}" for name in self._venues},
            **{f"{name}_rest_url": f"{self.rest_url}/{name}" for name in asked},
            "news_feeds": ",".join(f"{outlet}={self.rest_url}/{News.name}/{outlet}" for outlet in OUTLETS),
        }

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The names of the exchanges simulated here."""
        return tuple(self._venues)

    def market(self, name: str) -> SimMarket:
        """The simulated market with this canonical name, such as ``binance:BTC-USDT``."""
        return next(sim for market, sim in self.markets.items() if str(market) == name)

    def open_sockets(self, exchange: str | None = None) -> int:
        """How many websockets are open now."""
        return sum(exchange in (None, client.exchange) for client in self._clients)

    def drop_sockets(self, exchange: str | None = None) -> int:
        """Cut every websocket (of ``exchange``) without a closing handshake; returns their number."""
        cut = [client for client in self._clients if exchange in (None, client.exchange)]
        for client in cut:
            client.cut()
        return len(cut)

    def fail_rest(
        self, exchange: str, status: int, times: int = 1, *, retry_after_s: float | None = None
    ) -> None:
        """Answer the next ``times`` REST requests to ``exchange`` (or a provider) with ``status``."""
        self._rest_faults[exchange] = RestFault(status, times, retry_after_s)

    def disturb_rest(self, share: float) -> None:
        """Make this share of all REST answers fail: 503, 429, truncated, HTML, or empty."""
        names = (*self._venues, *self._providers)
        self._rest_disturbed = {name: RestFaults(self._seed, name, share) for name in names} if share else {}

    @contextmanager
    def go_silent(self, name: str) -> Iterator[None]:
        """Keep sockets open but send nothing of ``name``; frames due meanwhile are never sent.

        ``name``: an exchange, or a market such as ``binance:BTC-USDT``, for which only trades stop.
        """
        silent: set[Any] = self.feed.silent if ":" in name else self._silent
        what = self.market(name).market if ":" in name else name
        silent.add(what)
        try:
            yield
        finally:
            silent.discard(what)

    def disturb(
        self, exchange: str, *, garbage: float = 0.01, duplicated: float = 0.01, reordered: float = 0.01
    ) -> None:
        """Disturb these shares of the trade frames of ``exchange``; every valid frame is still sent."""
        faults = self._stream_faults(exchange)
        faults.garbage, faults.duplicated, faults.reordered = garbage, duplicated, reordered

    def delay(self, exchange: str, seconds: float) -> None:
        """Delay the trade frames of ``exchange``; REST serves the trades in time."""
        self._stream_faults(exchange).delay_s = seconds

    def drop_frames(self, exchange: str, share: float) -> None:
        """Drop this share of the trade frames of ``exchange``; REST serves their trades."""
        self._stream_faults(exchange).dropped = share

    def delist(self, market: str) -> None:
        """Stop the trades of ``market`` (canonical name); new sockets and REST treat it as unknown."""
        gone = self.market(market).market
        self.feed.silent.add(gone)
        self._delisted.add(gone)
        left = {known: sim for known, sim in self.markets.items() if known not in self._delisted}
        self._venues[gone.exchange] = type(self._venues[gone.exchange])(left, self._history)

    def announce_shutdown(self, exchange: str, closes_in_s: float = 5.0) -> None:
        """Announce on every socket of ``exchange`` that it will be closed, then close it."""
        frame = self._venues[exchange].shutdown(now_us())
        ending = [client for client in self._clients if client.exchange == exchange]
        for client in ending:
            client.send([] if frame is None else [frame])
            asyncio.get_running_loop().call_later(closes_in_s, client.close)

    def limit_life(self, exchange: str, seconds: float) -> None:
        """Close each socket of ``exchange`` unannounced, about this long after it was opened."""
        self._life_s[exchange] = seconds

    def _stream_faults(self, exchange: str) -> StreamFaults:
        return self.feed.faults.setdefault(exchange, StreamFaults(self._seed, exchange))

    def send_garbage(self, exchange: str, frames: int = 20) -> None:
        """Send corrupt frames to every websocket of ``exchange``, the same for the same seed."""
        for client in [client for client in self._clients if client.exchange == exchange]:
            client.send(garbage(self._seed, frames))

    def _session(self, connection: ServerConnection, target: str) -> tuple[Client, Session] | None:
        url = urlsplit(target)
        exchange, _, below = url.path.lstrip("/").partition("/")
        venue = self._venues.get(exchange)
        if venue is None:
            return None
        client = Client(exchange, connection, self._silent, framing(binary=venue.binary))
        stream = _Joined(self.feed, client, venue)
        session = venue.session(f"/{below}" if below else "", dict(parse_qsl(url.query)), stream)
        return None if session is None else (client, session)

    def _check_path(self, connection: ServerConnection, request: WsRequest) -> WsResponse | None:
        if self._session(connection, request.path) is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such stream here\n")
        return None

    async def _websocket(self, connection: ServerConnection) -> None:
        opened = self._session(connection, connection.request.path) if connection.request else None
        if opened is None:
            return
        client, session = opened
        self.connections[client.exchange] += 1
        self._clients[client] = session
        try:
            client.send(session.opening(now_us()))
            async for message in connection:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                client.send(session.receive(text, now_us()))
        except ConnectionAbortedError as refused:
            await connection.close(1008, str(refused))
        except ConnectionClosed:
            pass
        finally:
            del self._clients[client]
            self.feed.drop(client)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1)
            moment_us, moment_s = now_us(), time.monotonic()
            for client, session in list(self._clients.items()):
                client.send(session.heartbeats(moment_us, idle=moment_s - client.written_s > 0.95))
                if moment_s - client.opened_s >= self._life_s.get(client.exchange, float("inf")):
                    client.close()

    async def _rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        exchange, _, below = scope["path"].lstrip("/").partition("/")
        self.requests[f"{exchange}/{below}"] += 1
        params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = await self._answer(exchange, f"/{below}", params, sent, scope["method"])
        if exchange in self._rest_disturbed:
            answer = self._rest_disturbed[exchange].fate(answer)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
            **answer.headers,
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(
        self, exchange: str, path: str, params: dict[str, str], headers: dict[str, str], method: str
    ) -> Answer:
        fault = self._rest_faults.get(exchange)
        if fault is not None:
            fault.left -= 1
            if fault.left <= 0:
                del self._rest_faults[exchange]
            return fault.answer()
        venue, provider = self._venues.get(exchange), self._providers.get(exchange)
        if method != "GET":
            return Answer(b'{"message":"Method Not Allowed"}', 405)
        if venue is not None:
            answer = partial(venue.rest, path, params, now_us())
        elif provider is not None:
            answer = partial(provider.rest, path, params, headers, now_us())
        else:
            return Answer(b'{"message":"no such exchange or provider here"}', 404)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, answer)
        except Refused as refused:
            return refused.answer


class _Joined:
    """A client's view of the feed, passed to its session."""

    def __init__(self, feed: Feed, client: Client, venue: Venue) -> None:
        self._feed, self._client, self._venue = feed, client, venue

    def join(self, channel: str, market: SimMarket) -> int:
        return self._feed.join(self._client, self._venue, channel, market)

    def leave(self, channel: str, market: SimMarket) -> None:
        self._feed.leave(self._client, channel, market)

    def last_id(self, market: SimMarket) -> int:
        return self._feed.last_id(market)


async def _end(work: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the task; raises its exception if it had failed before."""
    for task in work:
        task.cancel()
    ended = await asyncio.gather(*work, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
