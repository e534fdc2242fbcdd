"""Validated records from the rows of REST answers, for all exchanges. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, TypeVar

import msgspec

from coinwatch.errors import BadMessage
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Symbol, Trade
from coinwatch.times import to_datetime
from sources.wire import LATEST_US, UNREADABLE, is_trade

_ASSET = re.compile(r"[A-Z0-9]{1,20}")
_NATIVE = re.compile(r"[!-~]{1,64}")
"""Printable ASCII."""
_LARGEST_VOLUME = 1e18
"""More than any market trades in a day, in any quote asset."""

T = TypeVar("T")

read_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""Parse a list into undecoded rows, so that one unreadable row does not affect the others."""


class CandleRow(NamedTuple):
    """A candle's numbers as an exchange sent them, not validated."""

    open_ts_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None = None
    trades: int | None = None


class TradeRow(NamedTuple):
    """A trade's numbers as an exchange sent them, not validated."""

    trade_id: int
    ts_us: int
    price: float
    amount: float
    taker_buys: bool


class BadCandles(BadMessage):
    """Some candles of an answer are impossible; the others are valid."""

    def __init__(
        self, source: str, message: str, raw: bytes, good: list[Candle], bad_ts_us: frozenset[int]
    ) -> None:
        super().__init__(source, message, raw)
        self.good = good
        """The valid candles, ordered by open time."""
        self.bad_ts_us = bad_ts_us
        """Open times of the intervals with impossible candles."""


def candles(market: Market, interval: Interval, rows: Iterable[CandleRow], body: bytes) -> list[Candle]:
    """Make candles, ordered by open time and unique by it (the later row wins).

    Raises:
        BadCandles: Some candles are impossible; carries the others.
        BadMessage: An open time is out of range.
    """
    by_time: dict[int, Candle] = {}
    bad: dict[int, str] = {}
    for row in rows:
        if not 0 <= row.open_ts_us < LATEST_US:
            raise BadMessage(market.exchange, f"{market} {interval} candle at {row.open_ts_us} us", body)
        try:
            by_time[row.open_ts_us] = Candle(
                market=market,
                interval=interval,
                open_ts_us=row.open_ts_us,
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.volume,
                quote_volume=row.quote_volume,
                trades=row.trades,
            )
        except ValueError as error:
            opened = to_datetime(row.open_ts_us).isoformat()
            bad[interval.floor(row.open_ts_us)] = f"{market} {interval} candle of {opened}: {error}"
    good = [by_time[open_ts_us] for open_ts_us in sorted(by_time) if open_ts_us not in bad]
    if bad:
        first = bad[min(bad)]
        message = first if len(bad) == 1 else f"{first}; and {len(bad) - 1} more"
        raise BadCandles(market.exchange, message, body, good, frozenset(bad))
    return good


def trades(market: Market, rows: Iterable[TradeRow], body: bytes) -> list[Trade]:
    """Make trades in the order of ``rows``. Raises BadMessage with the market and id of an impossible one."""
    valid: list[Trade] = []
    try:
        for row in rows:
            if not is_trade(row.trade_id, row.ts_us, row.price, row.amount):
                raise ValueError(f"trade {row.trade_id} has impossible numbers")
            valid.append(Trade(market, *row))
    except UNREADABLE as error:
        raise BadMessage(market.exchange, f"{market}: {error}", body) from error
    return valid


def instrument(
    exchange: str,
    base: str,
    quote: str,
    native: str,
    *,
    active: bool,
    price_step: float | None,
    amount_step: float | None,
    listed_us: int | None = None,
) -> Instrument | None:
    """Make an instrument; None for asset names outside A-Z and 0-9, such as ``币安人生`` and ``TSLAx``."""
    if not (_ASSET.fullmatch(base) and _ASSET.fullmatch(quote) and _NATIVE.fullmatch(native)):
        return None
    return Instrument(
        market=Market(exchange, Symbol(base, quote)),
        native=native,
        status=MarketStatus.ACTIVE if active else MarketStatus.DELISTED,
        price_step=price_step,
        amount_step=amount_step,
        listed_us=listed_us if listed_us is not None and 0 < listed_us < LATEST_US else None,
    )


def instruments(listing: Iterable[Instrument | None]) -> list[Instrument]:
    """Drop Nones and duplicates; of two listings of a market the active one is kept."""
    by_market: dict[Market, Instrument] = {}
    for listed in listing:
        if listed is not None and (
            listed.market not in by_market or by_market[listed.market].status is MarketStatus.DELISTED
        ):
            by_market[listed.market] = listed
    return list(by_market.values())


def volumes(
    exchange: str, rows: Collection[T], volume: Callable[[T], tuple[str, float]], body: bytes
) -> dict[str, float]:
    """Volumes in the quote asset by native market name, read from each row by ``volume``.

    Unreadable and implausible rows are left out. Raises BadMessage when no row is left.
    """
    by_native: dict[str, float] = {}
    for row in rows:
        try:
            native, amount = volume(row)
        except UNREADABLE:
            continue
        if 0.0 <= amount < _LARGEST_VOLUME:
            by_native[native] = amount
    if rows and not by_native:
        raise BadMessage(exchange, f"none of {len(rows)} tickers can be read", body)
    return by_native
