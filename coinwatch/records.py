"""The records all of Coinwatch shares: markets, trades, candles, instruments. All are immutable."""

from __future__ import annotations

from enum import StrEnum
from math import isfinite
from typing import Self

import msgspec

from coinwatch.intervals import Interval


class Symbol(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """A pair of assets, written ``BTC-USDT``."""

    base: str
    quote: str

    def __str__(self) -> str:
        return f"{self.base}-{self.quote}"

    @classmethod
    def canonical(cls, text: str) -> Self:
        """Parse the canonical spelling as stored; ``coinwatch.symbols`` parses user input."""
        base, _, quote = text.partition("-")
        return cls(base, quote)


class Market(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """One pair on one exchange, written ``binance:BTC-USDT``."""

    exchange: str
    symbol: Symbol

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @classmethod
    def canonical(cls, text: str) -> Self:
        """Parse the canonical spelling ``exchange:BASE-QUOTE`` as stored."""
        exchange, _, symbol = text.partition(":")
        return cls(exchange, Symbol.canonical(symbol))


class Side(StrEnum):
    """The side of the taker, who crossed the spread."""

    BUY = "buy"
    SELL = "sell"


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade as the exchange reported it.

    A Trade validates nothing, because it is made on the hot path: its decoder has already checked that
    price and amount are finite and positive.
    """

    market: Market
    trade_id: int
    """The exchange's own id, unique within the market, below 2**63."""
    ts_us: int
    """The exchange's clock, UTC microseconds; finer digits are truncated."""
    price: float
    """In the quote asset."""
    amount: float
    """In the base asset."""
    taker_buys: bool

    @property
    def side(self) -> Side:
        """The taker's side."""
        return Side.BUY if self.taker_buys else Side.SELL


class Candle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open, high, low, close and volume of one market over one interval.

    Raises ValueError for impossible numbers, such as a low above the high.
    """

    market: Market
    interval: Interval
    open_ts_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    """In the base asset."""
    quote_volume: float | None = None
    """In the quote asset; None where the exchange does not report it."""
    trades: int | None = None
    """The number of trades; None where the exchange does not report it."""

    def __post_init__(self) -> None:
        if self.open_ts_us % self.interval.us:
            raise ValueError(f"candle at {self.open_ts_us} is not on the {self.interval} grid")
        if not (0 < self.low <= self.open <= self.high and self.low <= self.close <= self.high):
            raise ValueError(
                f"impossible candle: open {self.open}, high {self.high}, low {self.low}, close {self.close}"
            )
        if not (isfinite(self.high) and isfinite(self.volume) and self.volume >= 0):
            raise ValueError(f"impossible candle: high {self.high}, volume {self.volume}")


class MarketStatus(StrEnum):
    """Whether a market is traded, by its exchange's list."""

    ACTIVE = "active"
    DELISTED = "delisted"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A market as its exchange lists it."""

    market: Market
    native: str
    """The exchange's own spelling, for its REST API."""
    status: MarketStatus
    price_step: float | None = None
    amount_step: float | None = None
    listed_us: int | None = None
    """When trading began or will begin; None where the list does not include it."""
