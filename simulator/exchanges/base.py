"""The contract of a simulated exchange: pure answers to REST requests, and websocket sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec
import numpy as np

from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, to_datetime
from simulator.history import Candles, History
from simulator.markets import SimMarket
from simulator.truth import SimTrades

encode = msgspec.json.encode


class Row(NamedTuple):
    """One trade, as plain numbers."""

    trade_id: int
    ts_us: int
    price: float
    amount: float
    taker_buys: bool


class Day(NamedTuple):
    """The last 24 hours of a market up to now, in units of the assets."""

    open: float
    high: float
    low: float
    last: float
    volume: float
    quote_volume: float
    trades: int


class Answer(msgspec.Struct, frozen=True):
    """A REST answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}


class Refused(Exception):
    """The exchange refused a request; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


class Stream(Protocol):
    """The live trades that a session subscribes to."""

    def join(self, channel: str, market: SimMarket) -> int:
        """Send the market's trades from now on; returns the id of the last past trade."""

    def leave(self, channel: str, market: SimMarket) -> None: ...

    def last_id(self, market: SimMarket) -> int:
        """The id of the last past trade of a market that was joined."""


class Session(ABC):
    """One websocket connection: decodes the client's frames and keeps its subscriptions."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def opening(self, now_us: int) -> list[bytes]:
        """Frames sent as soon as the socket is open."""
        return []

    @abstractmethod
    def receive(self, text: str, now_us: int) -> list[bytes]:
        """The answers to a frame of the client."""

    def heartbeats(self, now_us: int, *, idle: bool) -> list[bytes]:
        """Frames due each second; ``idle`` is true when nothing was sent for a second."""
        return []


class Venue(ABC):
    """One simulated exchange."""

    name: ClassVar[str]
    binary: ClassVar[bool] = False
    """Whether everything but JSON objects is sent in binary frames; otherwise all frames are text."""

    def __init__(self, markets: Mapping[Market, SimMarket], history: History) -> None:
        self.history = history
        self.markets = {
            self.native(sim): sim for market, sim in markets.items() if market.exchange == self.name
        }

    @abstractmethod
    def native(self, market: SimMarket) -> str:
        """The market's name in streams."""

    @abstractmethod
    def rest(self, path: str, params: Mapping[str, str], now_us: int) -> Answer:
        """Answer a GET of ``path`` (below the root). Raises Refused."""

    def last_day(self, market: SimMarket, now_us: int) -> Day:
        """The 24 hours of a ticker: the 1,440 minutes that end with the open one."""
        minute = now_us // MINUTE_US
        day = self.history.candles(market, 1, minute - DAY_US // MINUTE_US + 1, minute, now_us).rows
        price, amount = 10**market.price_decimals, 10**market.amount_decimals
        return Day(
            open=int(day.open[0]) / price,
            high=int(day.high.max()) / price,
            low=int(day.low.min()) / price,
            last=int(day.close[-1]) / price,
            volume=int(day.volume.sum()) / amount,
            quote_volume=int(day.quote_volume.sum()) / float(price * amount),
            trades=int(day.trades.sum()),
        )

    @abstractmethod
    def session(self, path: str, params: Mapping[str, str], stream: Stream) -> Session | None:
        """A new connection to ``path``; None when the path does not exist."""

    @abstractmethod
    def frames(self, channel: str, market: SimMarket, trades: Sequence[Row], now_us: int) -> list[bytes]:
        """The frames that carry ``trades``, which are consecutive and at least one."""

    def shutdown(self, now_us: int) -> bytes | None:
        """The frame that announces the close of a socket; None where the exchange sends none."""
        return None


def rows(trades: SimTrades) -> list[Row]:
    """Columns as rows."""
    columns = (trades.trade_id, trades.ts_us, trades.price, trades.amount, trades.taker_buys)
    return list(map(Row._make, zip(*(column.tolist() for column in columns), strict=True)))


def table(market: SimMarket, candles: Candles) -> list[dict[str, Any]]:
    """Candles as dicts of numbers: integers for minutes and counts, else floats in units of the assets."""
    of_rows, price = candles.rows, 10**market.price_decimals
    amount = 10**market.amount_decimals
    columns: dict[str, Any] = {
        "minute": candles.open_minute,
        **{name: getattr(of_rows, name) / price for name in ("open", "high", "low", "close")},
        "volume": of_rows.volume / amount,
        "quote_volume": of_rows.quote_volume / float(price * amount),
        "trades": of_rows.trades,
        "buy_volume": of_rows.buy_volume / amount,
        "buy_quote_volume": of_rows.buy_quote_volume / float(price * amount),
    }
    listed = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*listed, strict=True)]


def iso(ts_us: int) -> str:
    """``2021-04-17T16:43:30.244075Z``"""
    return to_datetime(ts_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole(text: str | None, lowest: int = 0) -> int | None:
    """``text`` as an integer of at least ``lowest``, else None."""
    if text is None or not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number >= lowest else None
