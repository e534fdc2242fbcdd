"""The contract every exchange fulfils: a stateless, pure description of one exchange.

No sockets and no clock here. The ingest daemon owns the sockets, ``sources.http`` the requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, TypeAlias

import msgspec

from coinwatch.errors import Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.windows import Window


class RateLimit(msgspec.Struct, frozen=True):
    """A bucket that holds ``capacity`` and refills by ``per_second``.

    ``scope`` names what the exchange meters (its address ``ip``, a key …).
    """

    capacity: float
    per_second: float
    scope: str = "ip"

    def scaled(self, factor: float) -> RateLimit:
        """The same limit, ``factor`` times as generous."""
        return RateLimit(self.capacity * factor, self.per_second * factor, self.scope)


class RestRequest(msgspec.Struct, frozen=True):
    """A GET below the exchange's REST root. ``cost`` is in the unit of the rate limit."""

    path: str
    params: dict[str, str] = {}
    cost: float = 1


class Skipped(msgspec.Struct, frozen=True):
    """A frame that is fine but holds no trade for us. ``kind`` is one of few words, fit for a counter."""

    kind: str


class Rejected(msgspec.Struct, frozen=True):
    """The exchange refused a subscription. ``native`` is the market meant, None when it did not say."""

    native: str | None
    reason: str


Decoded: TypeAlias = list[Trade] | Skipped | Rejected
Decoder: TypeAlias = Callable[[bytes | memoryview], Decoded]

OTHER_MARKET = Skipped("other market")
ACK = Skipped("ack")
HEARTBEAT = Skipped("heartbeat")
STATUS = Skipped("status")
TICKER = Skipped("ticker")
BOOK = Skipped("book")
CANDLE = Skipped("candle")
PONG = Skipped("pong")
SHUTDOWN = Skipped("shutdown")
"""The exchange is about to close the socket."""
OTHER = Skipped("other")
"""A kind of frame we know nothing of."""


class Exchange(ABC):
    """Everything Coinwatch knows about one exchange."""

    name: ClassVar[str]
    rest_limit: ClassVar[RateLimit]

    markets_per_socket: ClassVar[int]
    max_silence_s: ClassVar[float]
    """A socket without any frame (pings and heartbeats count) for this long is dead."""
    keepalive_s: ClassVar[float | None] = None
    """How often the exchange wants ``keepalive()`` from us; None: never."""

    intervals: ClassVar[frozenset[Interval]] = frozenset(Interval)
    """The candle intervals its REST API serves."""
    candles_per_request: ClassVar[int]
    candles_depth: ClassVar[int | None] = None
    """Only this many most recent closed candles are served; None: all."""
    trades_per_request: ClassVar[int]

    throttled_errors: ClassVar[tuple[str, ...]] = ()
    """How those messages of ``error_in`` start that mean we ask too often."""
    passing_errors: ClassVar[tuple[str, ...]] = ()
    """How those messages of ``error_in`` start that a later try may not get."""

    @abstractmethod
    def native(self, market: Market) -> str:
        """The exchange's spelling of ``market`` in its streams."""

    def rest_native(self, market: Market) -> str:
        """The exchange's spelling of ``market`` in its REST API."""
        return self.native(market)

    # Streams

    @abstractmethod
    def stream_url(self, root: str) -> str:
        """Where to connect, below ``root``."""

    @abstractmethod
    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """Frames that ask for the trades of ``markets``, in batches the exchange allows."""

    @abstractmethod
    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """Frames that end what ``subscribe`` asked for."""

    def keepalive(self) -> bytes | None:
        """A frame to send every ``keepalive_s``; None where transport pings are enough."""
        return None

    @abstractmethod
    def decoder(self, markets: Collection[Market]) -> Decoder:
        """A function from one frame to its trades, in the order sent.

        Trades of markets not in ``markets`` are Skipped. The function raises BadMessage for
        anything it cannot read, and nothing else.
        """

    # REST

    @abstractmethod
    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """Ask for the candles that open in ``window``, at most ``candles_per_request`` of them.

        Raises Fatal for an interval the exchange does not serve.
        """

    @abstractmethod
    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """All candles of the answer, the one still open included, by open time, each once.

        Raises BadMessage, naming market and time where one candle is impossible.
        """

    @abstractmethod
    def trades_request(
        self, market: Market, *, from_id: int | None = None, since_us: int | None = None
    ) -> RestRequest:
        """Ask for a page of trades: from ``from_id`` on, or since a time (included), or the latest.

        The page may begin with older trades (Coinbase, where fewer than a page are newer).
        Raises Fatal where the exchange cannot page that way.
        """

    @abstractmethod
    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """The trades of the answer, oldest first. Raises BadMessage."""

    @abstractmethod
    def instruments_request(self) -> RestRequest:
        """Ask for the list of all markets."""

    @abstractmethod
    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """The spot markets of the list, each symbol once. Raises BadMessage."""

    def error_in(self, body: bytes) -> str | None:
        """The error an answer carries although its HTTP status is 200, else None."""
        return None

    # Shared by the exchanges

    def by_native(self, markets: Collection[Market]) -> dict[str, Market]:
        """``markets`` by their spelling in the stream."""
        return {self.native(market): market for market in markets}

    def check_interval(self, interval: Interval) -> None:
        """Raises Fatal when the exchange has no candles of ``interval``."""
        if interval not in self.intervals:
            served = ", ".join(known for known in Interval if known in self.intervals)
            raise Fatal(self.name, f"serves no {interval} candles; it has {served}")
