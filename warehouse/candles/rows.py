"""Candles as columns for ``unnest``. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec
import numpy as np

from coinwatch.records import Candle
from coinwatch.times import DAY_US, utc_day
from warehouse.db.arrays import Column, Doubles, Integers, Times

NO_VOLUME = float("nan")
NO_COUNT = -1
"""What stand for null in ``quote_volume`` and ``trades``."""


class CandleRows(msgspec.Struct, frozen=True):
    """Candles of one market and interval, encoded for Postgres."""

    columns: dict[str, Column]
    """What ``unnest`` reads, by name, in the order of the candles."""
    months: set[date]
    """The first days of the UTC months the candles open in."""
    count: int
    first_us: int
    last_us: int
    """The earliest and the latest open time; 0 without candles."""

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> CandleRows:
        """The columns of ``candles``, which may be in any order."""
        open_ts_us = np.array([candle.open_ts_us for candle in candles], np.int64)
        columns: dict[str, Column] = {
            "open_ts": Times(open_ts_us),
            "open": Doubles([candle.open for candle in candles]),
            "high": Doubles([candle.high for candle in candles]),
            "low": Doubles([candle.low for candle in candles]),
            "close": Doubles([candle.close for candle in candles]),
            "volume": Doubles([candle.volume for candle in candles]),
            "quote_volume": Doubles(
                [NO_VOLUME if candle.quote_volume is None else candle.quote_volume for candle in candles]
            ),
            "trades": Integers([NO_COUNT if candle.trades is None else candle.trades for candle in candles]),
        }
        if not candles:
            return cls(columns, set(), 0, 0, 0)
        first_us, last_us = int(open_ts_us.min()), int(open_ts_us.max())
        days = np.unique(open_ts_us // DAY_US).tolist()
        months = {utc_day(day * DAY_US).replace(day=1) for day in days}
        return cls(columns, months, len(candles), first_us, last_us)

    def __len__(self) -> int:
        return self.count
