"""From the rows of REST answers to records, checked. Pure; shared by the exchanges."""

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
_LARGEST_VOLUME = 1e18
"""No market turns over as much in a day, whatever it is quoted in."""

T = TypeVar("T")

read_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""A list, its rows as they came: one that cannot be read then does not cost the others."""


class CandleRow(NamedTuple):
    open_ts_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None = None
    trades: int | None = None


class TradeRow(NamedTuple):
    trade_id: int
    ts_us: int
    price: float
    amount: float
    taker_buys: bool


class BadCandles(BadMessage):
    """Some candles of an answer are impossible, the others are fine."""

    def __init__(
        self, source: str, message: str, raw: bytes, good: list[Candle], bad_ts_us: frozenset[int]
    ) -> None:
        super().__init__(source, message, raw)
        self.good = good
        """By open time."""
        self.bad_ts_us = bad_ts_us
        """Open times of the intervals of which nothing is known."""


def candles(market: Market, interval: Interval, rows: Iterable[CandleRow], body: bytes) -> list[Candle]:
    """Candles by open time, each time once (the later row wins).

    Raises BadCandles naming market and time of impossible ones, BadMessage for times that are none.
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
    """Trades in the order of ``rows``. Raises BadMessage naming market and trade of an impossible one."""
    made: list[Trade] = []
    try:
        for row in rows:
            if not is_trade(row.trade_id, row.ts_us, row.price, row.amount):
                raise ValueError(f"trade {row.trade_id} has impossible numbers")
            made.append(Trade(market, *row))
    except UNREADABLE as error:
        raise BadMessage(market.exchange, f"{market}: {error}", body) from error
    return made


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
    """An instrument, or None for names that no one could type (``币安人生``, ``TSLAx``)."""
    if not (_ASSET.fullmatch(base) and _ASSET.fullmatch(quote)):
        return None
    return Instrument(
        market=Market(exchange, Symbol(base, quote)),
        native=native,
        status=MarketStatus.ACTIVE if active else MarketStatus.DELISTED,
        price_step=price_step,
        amount_step=amount_step,
        listed_us=listed_us if listed_us is not None and 0 < listed_us < LATEST_US else None,
    )


def instruments(found: Iterable[Instrument | None]) -> list[Instrument]:
    """Each market once; where an exchange lists it twice, the active listing."""
    by_market: dict[Market, Instrument] = {}
    for listed in found:
        if listed is not None and (
            listed.market not in by_market or by_market[listed.market].status is MarketStatus.DELISTED
        ):
            by_market[listed.market] = listed
    return list(by_market.values())


def volumes(
    exchange: str, rows: Collection[T], volume: Callable[[T], tuple[str, float]], body: bytes
) -> dict[str, float]:
    """What ``volume`` reads of each row: a market's native name and its volume in the quote asset.

    Rows that it cannot read or that cannot be true are left out.
    Raises BadMessage when that is all of them.
    """
    found: dict[str, float] = {}
    for row in rows:
        try:
            native, amount = volume(row)
        except UNREADABLE:
            continue
        if 0.0 <= amount < _LARGEST_VOLUME:
            found[native] = amount
    if rows and not found:
        raise BadMessage(exchange, f"none of {len(rows)} tickers can be read", body)
    return found
