"""The contract of an exchange: a stateless description without I/O or clock.

The ingest daemon opens the sockets, ``sources.http`` sends the requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import ClassVar, TypeAlias

import msgspec

from coinwatch.errors import Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.times import SECOND_US
from coinwatch.windows import Window


class RateLimit(msgspec.Struct, frozen=True):
    """A token bucket, in the unit of the exchange: requests or their weight."""

    capacity: float
    per_second: float
    """The refill rate."""
    scope: str = "ip"
    """What the exchange meters: the address (``ip``), a key …"""
    per_month: int | None = None
    """Calls allowed in a calendar month (UTC), whatever each costs; None for no such limit."""

    def scaled(self, factor: float) -> RateLimit:
        """The limit with capacity and refill times ``factor``; the monthly limit is unchanged."""
        return RateLimit(self.capacity * factor, self.per_second * factor, self.scope, self.per_month)


class Paging(StrEnum):
    """How the REST API pages through trades: which argument ``trades_request`` takes."""

    FROM_ID = "from id"
    """``from_id``: a page of the oldest trades from that id on."""
    SINCE = "since"
    """``since_us``: a page of the oldest trades at or after that time."""
    BEFORE_ID = "before id"
    """``before_id``: a page of the newest trades before that id."""
    NEWEST = "newest"
    """No argument: only the newest trades are available, see ``newest_trades_requests``."""


class RestRequest(msgspec.Struct, frozen=True):
    """A GET below the exchange's REST root. ``cost`` is in the unit of the rate limit."""

    path: str
    params: dict[str, str] = {}
    cost: float = 1
    headers: dict[str, str] = {}
    """Additional headers, such as ``If-None-Match``."""


class Skipped(msgspec.Struct, frozen=True):
    """A valid frame without trades of the wanted markets. ``kind`` is a metric label of few values."""

    kind: str


class Rejected(msgspec.Struct, frozen=True):
    """The exchange refused a subscription. ``native`` is the market, None when the frame has none."""

    native: str | None
    reason: str


class Past(msgspec.Struct, frozen=True):
    """Trades from before the subscription, which some exchanges send on subscribing.

    They are stored, but do not mark the start of the stream.
    """

    trades: list[Trade]


class Reply(msgspec.Struct, frozen=True):
    """A frame to send back at once, where pings of the exchange are not those of the transport."""

    frame: bytes


Decoded: TypeAlias = list[Trade] | Past | Skipped | Rejected | Reply
Decoder: TypeAlias = Callable[[bytes | memoryview], Decoded]
ManyDecoder: TypeAlias = Callable[[Sequence[bytes]], list[Trade] | None]

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
"""An unknown kind of frame."""


class Exchange(ABC):
    """Everything Coinwatch knows about one exchange."""

    name: ClassVar[str]
    """Its name in markets, settings and metrics: lower case, as in ``binance:BTC-USDT``."""
    rest_limit: ClassVar[RateLimit]
    """The rate limit of the REST API, below what the exchange allows."""

    markets_per_socket: ClassVar[int]
    """How many markets to subscribe to on one socket."""
    max_silence_s: ClassVar[float]
    """A socket without any frame, pings and heartbeats included, for this long is dead."""
    keepalive_s: ClassVar[float | None] = None
    """How often to send ``keepalive()``; None: never."""

    intervals: ClassVar[frozenset[Interval]] = frozenset(Interval)
    """The candle intervals of the REST API."""
    candles_per_request: ClassVar[int]
    """The most candles in one answer."""
    candles_depth: ClassVar[int | None] = None
    """How many of the most recent closed candles are served; None: all."""
    candles_late_us: ClassVar[int] = 30 * SECOND_US
    """How long after its end a candle may still be absent or change."""
    trades_per_request: ClassVar[int]
    """The most trades in one answer."""
    trade_paging: ClassVar[Paging]
    """How the REST API pages through trades."""
    trades_reach_us: ClassVar[int | None] = None
    """How far back ``Paging.SINCE`` serves trades; None: to the first trade."""
    has_trade_ids: ClassVar[bool] = True
    """Whether trades have ids. Otherwise ids are derived from their numbers (``sources.synthetic_ids``)."""
    consecutive_ids: ClassVar[bool]
    """Whether the ids of a market's trades are consecutive, so that a lost trade is detected."""
    rest_ts_step_us: ClassVar[int] = 1
    """The resolution of trade times in the REST API, where it is coarser than in the stream."""
    rotate_every_s: ClassVar[float | None] = None
    """How long the exchange keeps a socket open; None: no known limit."""

    throttled_errors: ClassVar[tuple[str, ...]] = ()
    """Prefixes of ``error_in`` messages that mean too many requests."""
    passing_errors: ClassVar[tuple[str, ...]] = ()
    """Prefixes of ``error_in`` messages that mean a temporary failure."""

    @abstractmethod
    def native(self, market: Market) -> str:
        """The market's name in streams."""

    def rest_native(self, market: Market) -> str:
        """The market's name in the REST API."""
        return self.native(market)

    # Streams

    def feed(self, root: str) -> Exchange:
        """The description of the feed at ``root``, where the exchange has more than one."""
        return self

    @abstractmethod
    def stream_url(self, root: str) -> str:
        """The URL to connect to, below ``root``."""

    @abstractmethod
    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """Frames that subscribe to the trades of ``markets``, in batches the exchange allows."""

    @abstractmethod
    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """Frames that end the subscriptions of ``subscribe``."""

    def keepalive(self) -> bytes | None:
        """The frame to send every ``keepalive_s``; None where transport pings suffice."""
        return None

    @abstractmethod
    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Make a function that decodes one frame to its trades, in the order sent.

        Trades of markets outside ``markets`` are Skipped. The function raises BadMessage for any frame
        it cannot decode, and nothing else. It may keep state, so each connection needs its own.
        """

    def many_decoder(self, markets: Collection[Market]) -> ManyDecoder | None:
        """Make a function that decodes many frames at once, in a third of the time, for busy exchanges.

        The function returns None unless each frame is exactly one valid trade of ``markets``; decode the
        frames one by one then. None instead of a function: not supported.
        """
        return None

    # REST

    @abstractmethod
    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """The request for the candles that open in ``window``, at most ``candles_per_request``.

        Raises Fatal for an interval the exchange does not serve.
        """

    @abstractmethod
    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """The candles of an answer, ordered and unique by open time, including the one still open.

        Raises BadMessage; if only some candles are impossible, BadCandles, which carries the others.
        """

    @abstractmethod
    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None = None,
        since_us: int | None = None,
        before_id: int | None = None,
    ) -> RestRequest:
        """The request for a page of trades, paged by ``trade_paging``, or for the latest page.

        The page may start with older trades (Coinbase, when less than a page is newer). Raises Fatal when
        the exchange cannot page that way.
        """

    def newest_trades_requests(self, market: Market) -> Sequence[RestRequest]:
        """Requests for the latest trades, from the cheapest to the one that reaches furthest back."""
        return [self.trades_request(market)]

    @abstractmethod
    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """The trades of an answer, oldest first. Raises BadMessage."""

    @abstractmethod
    def instruments_request(self) -> RestRequest:
        """The request for the list of all markets."""

    def instruments_requests(self) -> Sequence[RestRequest]:
        """Requests for that list, from the most exact; the next one is sent where an answer is refused."""
        return [self.instruments_request()]

    @abstractmethod
    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """The spot markets of an answer, each symbol once. Raises BadMessage."""

    def volumes_request(self) -> RestRequest | None:
        """The request for the 24-hour volumes of all markets; None where no single request returns them."""
        return None

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """The 24-hour volume in the quote asset, by native name as in ``Instrument``.

        Markets without a plausible number are left out. Raises BadMessage, and Fatal without a
        ``volumes_request``.
        """
        raise Fatal(self.name, "does not publish volumes")

    def error_in(self, body: bytes) -> str | None:
        """The error message in a body, whatever the HTTP status; None when there is none."""
        return None

    # Shared by the exchanges

    def by_native(self, markets: Collection[Market]) -> dict[str, Market]:
        """``markets`` by their name in streams."""
        return {self.native(market): market for market in markets}

    def check_interval(self, interval: Interval) -> None:
        """Raises Fatal when the exchange has no candles of ``interval``."""
        if interval not in self.intervals:
            served = ", ".join(known for known in Interval if known in self.intervals)
            raise Fatal(self.name, f"serves no {interval} candles; it has {served}")
