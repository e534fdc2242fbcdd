"""The contract every exchange fulfils: a stateless, pure description of one exchange.

No sockets and no clock here. The ingest daemon owns the sockets, ``sources.http`` the requests.
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
    """A bucket that holds ``capacity`` and refills by ``per_second``.

    ``scope`` names what the exchange meters (its address ``ip``, a key …).
    """

    capacity: float
    per_second: float
    scope: str = "ip"
    per_month: int | None = None
    """Calls allowed in a calendar month (UTC), whatever each costs; None: no such limit."""

    def scaled(self, factor: float) -> RateLimit:
        """The same limit, ``factor`` times as generous by the second; a month's calls stay as they are."""
        return RateLimit(self.capacity * factor, self.per_second * factor, self.scope, self.per_month)


class Paging(StrEnum):
    """How the REST API gives the trades of a span: which arguments ``trades_request`` takes."""

    FROM_ID = "from id"
    """``from_id``: a page of the oldest trades from that id on."""
    SINCE = "since"
    """``since_us``: a page of the oldest trades at or after that time."""
    BEFORE_ID = "before id"
    """``before_id``: a page of the newest trades before that id."""
    NEWEST = "newest"
    """No argument: only the newest trades can be had, as far as ``newest_trades_requests`` reach."""


class RestRequest(msgspec.Struct, frozen=True):
    """A GET below the exchange's REST root. ``cost`` is in the unit of the rate limit."""

    path: str
    params: dict[str, str] = {}
    cost: float = 1
    headers: dict[str, str] = {}
    """Of this request alone, such as ``If-None-Match``."""


class Skipped(msgspec.Struct, frozen=True):
    """A frame that is fine but holds no trade for us. ``kind`` is one of few words, fit for a counter."""

    kind: str


class Rejected(msgspec.Struct, frozen=True):
    """The exchange refused a subscription. ``native`` is the market meant, None when it did not say."""

    native: str | None
    reason: str


class Past(msgspec.Struct, frozen=True):
    """True trades from before the subscription, sent on subscribing.

    They are stored, but say nothing of where the stream begins.
    """

    trades: list[Trade]


class Reply(msgspec.Struct, frozen=True):
    """The exchange wants this text frame from us at once: its own kind of pong."""

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
    candles_late_us: ClassVar[int] = 30 * SECOND_US
    """How long after its end a candle may still be missing from the answer, or change."""
    trades_per_request: ClassVar[int]
    trade_paging: ClassVar[Paging]
    trades_reach_us: ClassVar[int | None] = None
    """How far back pages by ``SINCE`` show trades; None: to the first."""
    has_trade_ids: ClassVar[bool] = True
    """Without them ids are made of a trade's own numbers, and equal trades are told apart by counting."""
    consecutive_ids: ClassVar[bool]
    """Whether each trade of a market has the id after the one before it, so that a hole can be seen."""
    rest_ts_step_us: ClassVar[int] = 1
    """How coarsely the REST API tells the time of a trade, where that is coarser than the stream."""
    rotate_every_s: ClassVar[float | None] = None
    """How long the exchange lets a socket live; None: no limit is known."""

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

    def many_decoder(self, markets: Collection[Market]) -> ManyDecoder | None:
        """The same for many frames at once, where an exchange floods: a third of the time for each.

        It gives None when any of the frames is more or less than one sound trade of ``markets``; then
        they are to be read one by one. None in place of the function: there is none.
        """
        return None

    # REST

    @abstractmethod
    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        """Ask for the candles that open in ``window``, at most ``candles_per_request`` of them.

        Raises Fatal for an interval the exchange does not serve.
        """

    @abstractmethod
    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """All candles of the answer, the one still open included, by open time, each once.

        Raises BadMessage; where only some candles are impossible BadCandles, which has the others.
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
        """Ask for a page of trades as ``trade_paging`` says, or, without arguments, for the latest.

        The page may begin with older trades (Coinbase, where fewer than a page are newer).
        Raises Fatal where the exchange cannot page that way.
        """

    def newest_trades_requests(self, market: Market) -> Sequence[RestRequest]:
        """Ask for the latest trades, from the cheapest request to the one that reaches furthest back."""
        return [self.trades_request(market)]

    @abstractmethod
    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """The trades of the answer, oldest first. Raises BadMessage."""

    @abstractmethod
    def instruments_request(self) -> RestRequest:
        """Ask for the list of all markets."""

    @abstractmethod
    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """The spot markets of the list, each symbol once. Raises BadMessage."""

    def volumes_request(self) -> RestRequest | None:
        """Ask for the last 24 hours' volume of all markets; None where no single request tells it."""
        return None

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """By native name as in ``Instrument``: the volume of the last 24 hours, in the quote asset.

        Markets of which no sound number is told are left out. Raises BadMessage, and Fatal where there
        is no ``volumes_request``.
        """
        raise Fatal(self.name, "tells no volumes")

    def error_in(self, body: bytes) -> str | None:
        """The error an answer tells in its body, whatever its HTTP status, else None."""
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
