"""The past of the simulated markets for their REST APIs: nothing later than now."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import msgspec
import numpy as np

from coinwatch.times import DAY_US, MINUTE_US
from simulator.hashing import Ints
from simulator.markets import SimMarket
from simulator.truth import (
    GENESIS_MINUTE,
    MinuteCandles,
    SimTrades,
    counts_before,
    minute_candles,
    trades_before,
    trades_in_minute,
    trades_in_minutes,
)

_PIECE: Final = 120
"""Minutes that are computed and cached together."""
_DAY_MINUTES: Final = DAY_US // MINUTE_US
_LATEST_US: Final = 4_102_444_800_000_000
"""1 January 2100; a later time is treated as this one."""
_FIELDS = MinuteCandles.__struct_fields__


class Candles(msgspec.Struct, frozen=True):
    """Consecutive candles of one interval, oldest first; see MinuteCandles for the units.

    Candles without trades carry the close of the one before in all four prices; ``trades`` is 0.
    """

    open_minute: Ints
    rows: MinuteCandles


class History:
    """Past candles and trades, with a bounded cache of computed minutes. Thread-safe."""

    def __init__(self, pieces_kept: int = 6_000) -> None:
        self._pieces_kept = pieces_kept
        self._pieces: OrderedDict[tuple[SimMarket, int], MinuteCandles] = OrderedDict()
        self._lock = threading.Lock()

    def candles(
        self, market: SimMarket, minutes_each: int, first_minute: int, last_minute: int, now_us: int
    ) -> Candles:
        """Candles that open from ``first_minute`` to ``last_minute``, both included and on the grid.

        The last one is the candle open at ``now_us``, made of the trades so far.
        """
        now_minute = now_us // MINUTE_US
        last_minute = min(last_minute, now_minute - now_minute % minutes_each)
        first_minute = max(first_minute, GENESIS_MINUTE - GENESIS_MINUTE % minutes_each)
        opens = np.arange(first_minute, last_minute + 1, minutes_each)
        if not len(opens):
            return Candles(opens, MinuteCandles(*(np.zeros(0, np.int64) for _ in _FIELDS)))
        rows = self._minutes(market, first_minute, last_minute + minutes_each, now_us)
        if minutes_each > 1:
            rows = _merged(rows, minutes_each)
        before = self.last_trades(market, 1, trades_before(market, first_minute))
        close_before = round(float(before.price[0]) * 10**market.price_decimals) if len(before) else 0
        return Candles(opens, _filled(rows, close_before))

    def _minutes(self, market: SimMarket, first: int, end: int, now_us: int) -> MinuteCandles:
        """The rows of minutes ``first`` to ``end``, cut off at ``now_us``."""
        now_minute = now_us // MINUTE_US
        known_end = min(end, now_minute)
        parts = []
        for piece in range(first // _PIECE, -(-known_end // _PIECE)):
            start = piece * _PIECE
            cut = slice(max(first - start, 0), min(known_end - start, _PIECE))
            whole = self._piece(market, piece)
            parts.append([getattr(whole, field)[cut] for field in _FIELDS])
        if end > now_minute >= first:
            rest = np.zeros((len(_FIELDS), end - now_minute), np.int64)
            open_one = minute_candles(market, now_minute, 1, until_us=now_us)
            rest[:, 0] = [getattr(open_one, field)[0] for field in _FIELDS]
            parts.append(list(rest))
        return MinuteCandles(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _piece(self, market: SimMarket, piece: int) -> MinuteCandles:
        key = (market, piece)
        with self._lock:
            if (known := self._pieces.get(key)) is not None:
                self._pieces.move_to_end(key)
                return known
        made = minute_candles(market, piece * _PIECE, _PIECE)
        with self._lock:
            self._pieces[key] = made
            while len(self._pieces) > self._pieces_kept:
                self._pieces.popitem(last=False)
        return made

    def last_id(self, market: SimMarket, now_us: int) -> int:
        """The id of the newest trade at or before ``now_us``, 0 when there is none."""
        now_us = min(max(now_us, 0), _LATEST_US)
        minute = now_us // MINUTE_US
        so_far = np.searchsorted(trades_in_minute(market, minute).ts_us, now_us, side="right")
        return trades_before(market, minute) + int(so_far)

    def first_id_from(self, market: SimMarket, ts_us: int) -> int:
        """The id of the first trade at or after ``ts_us``, past or future."""
        return self.last_id(market, ts_us - 1) + 1

    def last_trades(self, market: SimMarket, count: int, last_id: int) -> SimTrades:
        """The ``count`` trades that end with ``last_id``."""
        first_id = max(last_id - count + 1, 1)
        return self.trades(market, first_id, last_id)

    def trades(self, market: SimMarket, first_id: int, last_id: int) -> SimTrades:
        """The trades with these ids, both included."""
        if last_id < first_id:
            return trades_in_minutes(market, GENESIS_MINUTE - 1, 1)
        first, last = self._minute_of(market, first_id), self._minute_of(market, last_id)
        made = trades_in_minutes(market, first, last - first + 1)
        offset = first_id - int(made.trade_id[0])
        return made.part(offset, offset + last_id - first_id + 1)

    def _minute_of(self, market: SimMarket, trade_id: int) -> int:
        """The minute in which trade ``trade_id`` was made."""
        day = int((trade_id - 1) / (market.trades_per_s * 86_400))
        start = GENESIS_MINUTE + (day - 1) * _DAY_MINUTES
        minutes = np.arange(start, start + 3 * _DAY_MINUTES)
        # The first minute with the trade before it follows the minute with the trade in it.
        return start + int(np.searchsorted(counts_before(market, minutes), trade_id, side="left")) - 1


def _merged(rows: MinuteCandles, minutes_each: int) -> MinuteCandles:
    """Aggregate each run of ``minutes_each`` rows to one row."""
    table = {field: getattr(rows, field).reshape(-1, minutes_each) for field in _FIELDS}
    traded = table["trades"] > 0
    line = np.arange(len(traded))
    first = np.argmax(traded, axis=1)
    last = minutes_each - 1 - np.argmax(traded[:, ::-1], axis=1)
    low = np.where(traded, table["low"], np.iinfo(np.int64).max).min(axis=1)
    sums = {field: table[field].sum(axis=1) for field in _FIELDS[4:]}
    return MinuteCandles(
        open=table["open"][line, first],
        high=table["high"].max(axis=1),
        low=np.where(traded.any(axis=1), low, 0),
        close=table["close"][line, last],
        **sums,
    )


def _filled(rows: MinuteCandles, close_before: int) -> MinuteCandles:
    """Fill the prices of empty rows with the previous close."""
    empty = rows.trades == 0
    if not empty.any():
        return rows
    latest = np.maximum.accumulate(np.where(empty, -1, np.arange(len(empty))))
    price = np.where(latest < 0, close_before, rows.close[latest])
    prices = (np.where(empty, price, column) for column in (rows.open, rows.high, rows.low, rows.close))
    return MinuteCandles(*prices, *(getattr(rows, field) for field in _FIELDS[4:]))
