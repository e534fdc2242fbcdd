"""Candles as columns for ``unnest``. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec
import numpy as np
from numpy.typing import NDArray

from coinwatch.records import Candle
from coinwatch.times import DAY_US, utc_day
from warehouse.db.arrays import Column, Doubles, Integers, Times

NO_VOLUME = float("nan")
NO_COUNT = -1
"""What stand for null in ``quote_volume`` and ``trades``."""


class CandleRows(msgspec.Struct, frozen=True):
    """Candles of one market and interval, one array a column, in the order given."""

    open_ts_us: NDArray[np.int64]
    numbers: dict[str, Column]
    """Every other column, by name, as ``unnest`` reads it."""

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> CandleRows:
        """The columns of ``candles``."""
        return cls(
            np.array([candle.open_ts_us for candle in candles], np.int64),
            {
                "open": Doubles([candle.open for candle in candles]),
                "high": Doubles([candle.high for candle in candles]),
                "low": Doubles([candle.low for candle in candles]),
                "close": Doubles([candle.close for candle in candles]),
                "volume": Doubles([candle.volume for candle in candles]),
                "quote_volume": Doubles(
                    [NO_VOLUME if candle.quote_volume is None else candle.quote_volume for candle in candles]
                ),
                "trades": Integers(
                    [NO_COUNT if candle.trades is None else candle.trades for candle in candles]
                ),
            },
        )

    def __len__(self) -> int:
        return len(self.open_ts_us)

    def months(self) -> set[date]:
        """The first days of the UTC months the candles open in."""
        days = np.unique(self.open_ts_us // DAY_US).tolist()
        return {utc_day(day * DAY_US).replace(day=1) for day in days}

    def columns(self) -> dict[str, Column]:
        """What ``unnest`` reads, by name."""
        return {"open_ts": Times(self.open_ts_us), **self.numbers}
