"""The true trades of the simulated markets, as pure functions of the market and the minute.

Any minute can be computed alone, at the same cost as any other of that market, and a thousand
minutes at once give the same numbers to the last bit. So REST history, the live stream and a test
that counts what was lost all speak of the same trades.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Trade
from coinwatch.times import DAY_US, MINUTE_US
from simulator.hashing import (
    NORMAL,
    TABLE_BITS,
    Flags,
    Floats,
    Ints,
    Words,
    bits,
    normals,
    seed_of,
    units,
    words,
)
from simulator.markets import BASES, SimMarket, sim_markets
from simulator.prices import GRID, drift, log_price, within_minutes

__all__ = [
    "GENESIS_MINUTE",
    "MinuteCandles",
    "SimMarket",
    "SimTrades",
    "candle_in_minute",
    "minute_candles",
    "sim_markets",
    "trades_before",
    "trades_in_minute",
    "trades_in_minutes",
]

GENESIS_MINUTE: Final = 1_514_764_800 // 60
"""1 January 2018, the earliest minute with trades; a market's first trade has id 1."""

_DAY_MINUTES = DAY_US // MINUTE_US
_BLOCK_LEVELS = 5
_BLOCK = 1 << _BLOCK_LEVELS
"""Minutes whose number of trades is known in closed form; inside, hashed splits share it out."""
_BLOCKS_A_DAY = _DAY_MINUTES // _BLOCK
_DAILY_SWING = 0.1
_SPLIT_SWING = 0.12

_EXPONENTIAL: Final[Ints] = np.rint(
    -np.log1p(-(np.arange(1 << TABLE_BITS) + 0.5) / (1 << TABLE_BITS)) * 65_536
).astype(np.int64)
_NOTIONAL: Final[Floats] = 110.0 * np.exp(1.4 * NORMAL + 0.06 * np.maximum(NORMAL, 0.0) ** 3)
"""Quantiles of a trade's value in USD: median 110, up to two hundred thousand."""
_SAME_ORDER_OF_16 = 5
"""One trade in three fills the same order as the trade before it, at the same time and side."""
_HALF_SPREAD = 0.00004


def _daily_rhythm() -> Floats:
    """The share of a day's trades before each block of the day; busiest at 16:00 UTC."""
    middle = (np.arange(_BLOCKS_A_DAY) + 0.5) / _BLOCKS_A_DAY
    weight = 1.0 + _DAILY_SWING * np.cos(2 * np.pi * (middle - 16 / 24))
    parts: Floats = np.concatenate([[0.0], np.cumsum(weight)]) / weight.sum()
    return parts


_RHYTHM: Final = _daily_rhythm()


class SimTrades(msgspec.Struct, frozen=True):
    """Trades of one market as columns, ordered by id (and so by time)."""

    trade_id: Ints
    ts_us: Ints
    price: Floats
    amount: Floats
    taker_buys: Flags

    def __len__(self) -> int:
        return len(self.trade_id)

    def part(self, start: int, end: int | None = None) -> SimTrades:
        """The trades at positions ``start`` to ``end``, as a slice."""
        cut = slice(start, end)
        return SimTrades(
            self.trade_id[cut], self.ts_us[cut], self.price[cut], self.amount[cut], self.taker_buys[cut]
        )

    def records(self, market: SimMarket) -> list[Trade]:
        """The trades as records."""
        columns = (self.trade_id, self.ts_us, self.price, self.amount, self.taker_buys)
        return [
            Trade(market.market, *row) for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


class MinuteCandles(msgspec.Struct, frozen=True):
    """One row per minute. Prices and volumes count steps; a minute without trades is all zeros.

    Quote volumes count steps of price times amount.
    """

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    trades: Ints
    buy_volume: Ints
    buy_quote_volume: Ints


def trades_before(market: SimMarket, minute: int) -> int:
    """The number of trades before ``minute``; the next trade's id is one higher."""
    return int(counts_before(market, np.array([minute]))[0])


def trades_in_minute(market: SimMarket, minute: int) -> SimTrades:
    """The trades whose ``ts_us // 60_000_000`` is ``minute``."""
    return trades_in_minutes(market, minute, 1)


def trades_in_minutes(market: SimMarket, first: int, count: int) -> SimTrades:
    """The trades of ``count`` minutes from ``first`` on."""
    trades = _make(market, first, count)
    return SimTrades(
        trade_id=trades.trade_id,
        ts_us=trades.ts_us,
        price=trades.price_steps / 10**market.price_decimals,
        amount=trades.amount_steps / 10**market.amount_decimals,
        taker_buys=trades.taker_buys,
    )


def minute_candles(
    market: SimMarket, first: int, count: int, *, until_us: int | None = None
) -> MinuteCandles:
    """The candles of ``count`` minutes, one row each, of the trades up to ``until_us`` if given."""
    trades = _make(market, first, count)
    counts = trades.counts
    if until_us is not None:
        known = np.searchsorted(trades.ts_us, until_us, side="right")
        counts = np.clip(known - trades.starts, 0, counts)
    price, amount = trades.price_steps, trades.amount_steps
    traded = np.flatnonzero(counts)
    starts = trades.starts[traded]
    end = int(counts.sum())
    price, amount = price[:end], amount[:end]
    quote = price * amount
    buys = trades.taker_buys[:end].astype(np.int64)

    def row(values: Ints) -> Ints:
        full = np.zeros(count, np.int64)
        full[traded] = values
        return full

    if not len(traded):
        return MinuteCandles(*(np.zeros(count, np.int64) for _ in range(9)))
    return MinuteCandles(
        open=row(price[starts]),
        high=row(np.maximum.reduceat(price, starts)),
        low=row(np.minimum.reduceat(price, starts)),
        close=row(price[starts + counts[traded] - 1]),
        volume=row(np.add.reduceat(amount, starts)),
        quote_volume=row(np.add.reduceat(quote, starts)),
        trades=counts,
        buy_volume=row(np.add.reduceat(amount * buys, starts)),
        buy_quote_volume=row(np.add.reduceat(quote * buys, starts)),
    )


def candle_in_minute(market: SimMarket, minute: int) -> Candle | None:
    """The candle of a minute, or None when there were no trades."""
    rows = minute_candles(market, minute, 1)
    if not rows.trades[0]:
        return None
    price, amount = 10**market.price_decimals, 10**market.amount_decimals
    return Candle(
        market=market.market,
        interval=Interval.M1,
        open_ts_us=minute * MINUTE_US,
        open=int(rows.open[0]) / price,
        high=int(rows.high[0]) / price,
        low=int(rows.low[0]) / price,
        close=int(rows.close[0]) / price,
        volume=int(rows.volume[0]) / amount,
        quote_volume=int(rows.quote_volume[0]) / (price * amount),
        trades=int(rows.trades[0]),
    )


def counts_before(market: SimMarket, minutes: Ints) -> Ints:
    """``trades_before`` for each of ``minutes``.

    The count at the edge of a block is a line through the days bent by the daily rhythm. Inside, the
    block's trades are split in two halves again and again: how unevenly is a hash shared by all
    markets of a base asset, so that they are busy together, and a chance of the market's own.
    """
    since = np.maximum(minutes - GENESIS_MINUTE, 0)
    block = since // _BLOCK
    before = _block_edge(market, block)
    left_over = _block_edge(market, block + 1) - before
    busy_seed = seed_of("busy", market.market.symbol.base)
    for level in range(_BLOCK_LEVELS - 1, -1, -1):
        node = ((since >> (level + 1)) << 3) + level
        share = 0.5 + _SPLIT_SWING * (units(words(busy_seed, node)) - 0.5)
        chance = normals(words(market.seed, node)) * np.sqrt(left_over) * 0.5  # binomial, approximately
        first_half = np.floor(left_over * share + chance + 0.5).astype(np.int64)
        first_half = np.clip(first_half, 0, left_over)
        in_second = ((since >> level) & 1).astype(bool)
        before = before + np.where(in_second, first_half, 0)
        left_over = np.where(in_second, left_over - first_half, first_half)
    return before


def _block_edge(market: SimMarket, block: Ints) -> Ints:
    day = block // _BLOCKS_A_DAY
    days = day + _RHYTHM[block - day * _BLOCKS_A_DAY]
    edge: Ints = np.floor(days * (market.trades_per_s * 86_400)).astype(np.int64)
    return edge


class _Made(msgspec.Struct, frozen=True):
    trade_id: Ints
    ts_us: Ints
    price_steps: Ints
    amount_steps: Ints
    taker_buys: Flags
    counts: Ints
    """Trades of each minute."""
    starts: Ints
    """Position of each minute's first trade."""


def _make(market: SimMarket, first: int, count: int) -> _Made:
    edges = counts_before(market, np.arange(first, first + count + 1))
    counts = np.diff(edges)
    starts = edges[:-1] - edges[0]
    trade_id = np.arange(edges[0] + 1, edges[-1] + 1)
    hashed = words(market.seed, trade_id)
    traded = np.flatnonzero(counts)
    minutes = first + traded
    row = np.repeat(np.arange(len(traded)), counts[traded])

    # An order may cause several trades, which share its time and side and move the price.
    opens = bits(hashed, 12, 4) >= _SAME_ORDER_OF_16
    opens[starts[traded]] = True
    position = np.arange(len(trade_id))
    order = np.maximum.accumulate(np.where(opens, position, 0))

    place = _places(hashed, opens, counts, starts)  # in (0, 1) of the minute
    step_us = market.time_step_us
    in_minute_us = (place * (MINUTE_US // step_us)).astype(np.int64) * step_us
    ts_us = minutes[row] * MINUTE_US + in_minute_us

    buys = bits(hashed, 40, 1)[order].astype(bool)
    towards = np.where(buys, 1.0, -1.0)
    reference = _reference(market, minutes, row, place)
    half_spread = max(_HALF_SPREAD, market.price_step / market.start_price / 2)
    noise = NORMAL[bits(hashed, 41)][order] * 0.3
    walked = (position - order) * 0.25
    price = reference * (1.0 + half_spread * (towards * (1.0 + walked) + noise))
    price_steps = np.maximum(np.rint(price * 10**market.price_decimals).astype(np.int64), 1)

    worth = _NOTIONAL[bits(hashed, 16)] * (0.75 + bits(hashed, 28) * (0.5 / (1 << TABLE_BITS)))
    unit = 10**market.amount_decimals / market.start_price
    amount_steps = np.maximum(np.rint(worth * unit).astype(np.int64), 1)
    return _Made(trade_id, ts_us, price_steps, amount_steps, buys, counts, starts)


def _places(
    hashed: Words,
    opens: Flags,
    counts: Ints,
    starts: Ints,
) -> Floats:
    """The position of each trade in its minute: random gaps between orders, none within an order.

    Gaps are integers, so that sums do not depend on how many minutes are computed at once.
    """
    gaps = np.where(opens, _EXPONENTIAL[bits(hashed, 0)] + 1, 0)
    summed = np.concatenate([[0], np.cumsum(gaps)])
    before, after = summed[starts], summed[starts + counts]
    last_gap = _EXPONENTIAL[_EXPONENTIAL.size // 2]
    offset = summed[1:] - np.repeat(before, counts)
    place: Floats = offset / np.repeat(after - before + last_gap, counts)
    return place


def _reference(market: SimMarket, minutes: Ints, row: Ints, place: Floats) -> Floats:
    """The market's fair price at each trade, which is in minute ``minutes[row]``, at ``place`` of it."""
    base, quote = market.market.symbol.base, market.market.symbol.quote
    yearly_volatility = BASES[base].volatility
    edges = np.union1d(minutes, minutes + 1)
    height = log_price(base, yearly_volatility, edges) + drift(str(market.market), 0.0002, edges)
    if quote == "EUR":
        height = height - log_price(quote, 0.07, edges)
    elif quote != "USD":
        height = height - drift(quote, 0.0003, edges)
    start = np.searchsorted(edges, minutes)
    line = np.arange(GRID + 1) / GRID
    path = height[start, None] * (1.0 - line) + height[start + 1, None] * line
    grid = np.exp(path + within_minutes(base, yearly_volatility, minutes)).ravel()
    at = place * GRID
    left = at.astype(np.int64)
    point = row * (GRID + 1) + left
    beyond = at - left
    price: Floats = market.start_price * (grid[point] * (1.0 - beyond) + grid[point + 1] * beyond)
    return price
