"""Trades as columns: sorted, encoded for binary COPY, summed up by market. Pure: no I/O.

A batch becomes numpy arrays once; later steps cost little per trade. Most batches hold one or two trades,
for which a numpy call costs more than its work.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg import postgres

from coinwatch.records import Market, Trade
from coinwatch.times import DAY_US, utc_day
from warehouse.db.arrays import POSTGRES_EPOCH_US
from warehouse.db.copy_in import HEADER, TRAILER
from warehouse.db.notifications import MarketMove

COPY_COLUMNS = ("trade_id", "ts", "price", "amount", "market_id", "day", "taker_buys")
"""The columns that copy_data and arrays encode, in order. ``tx`` gets its default."""

COLUMN_TYPES = ("int8", "timestamptz", "float8", "float8", "int4", "date", "bool")
"""In Postgres."""

_FORMATS = {
    "trade_id": ">i8",
    "ts": ">i8",
    "price": ">f8",
    "amount": ">f8",
    "market_id": ">i4",
    "day": ">i4",
    "taker_buys": ">u1",
}
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(
            field
            for name in COPY_COLUMNS
            for field in ((f"{name}_bytes", ">i4"), (name, np.dtype(_FORMATS[name])))
        ),
    ]
)
_ARRAY_HEADER = struct.Struct(">iiiii")
_ELEMENTS = tuple(
    (postgres.types[postgres_type].oid, np.dtype([("bytes", ">i4"), ("value", _FORMATS[name])]))
    for name, postgres_type in zip(COPY_COLUMNS, COLUMN_TYPES, strict=True)
)
_EMPTY_ROW = np.zeros((), _ROW)
_EMPTY_ROW["fields"] = len(COPY_COLUMNS)
for _name in COPY_COLUMNS:
    _EMPTY_ROW[f"{_name}_bytes"] = _ROW[_name].itemsize


class TickRows(msgspec.Struct, frozen=True, dict=True):
    """A batch of trades, one array a column, ordered by (market_id, trade_id)."""

    market_id: NDArray[np.int32]
    trade_id: NDArray[np.int64]
    ts_us: NDArray[np.int64]
    price: NDArray[np.float64]
    amount: NDArray[np.float64]
    taker_buys: NDArray[np.bool_]

    @classmethod
    def of(cls, trades: Sequence[Trade], market_ids: Mapping[Market, int]) -> TickRows:
        """Sort ``trades`` by their key; equal keys keep their order.

        Two writers that store the same trades in one order wait for each other; in two orders they
        deadlock. Raises KeyError for a market that has no id.
        """
        rows = cls(
            np.array([market_ids[trade.market] for trade in trades], np.int32),
            np.array([trade.trade_id for trade in trades], np.int64),
            np.array([trade.ts_us for trade in trades], np.int64),
            np.array([trade.price for trade in trades], np.float64),
            np.array([trade.amount for trade in trades], np.float64),
            np.array([trade.taker_buys for trade in trades], np.bool_),
        )
        return rows if len(rows) < 2 else rows._take(np.lexsort((rows.trade_id, rows.market_id)))

    def __len__(self) -> int:
        return len(self.trade_id)

    def where(self, keep: NDArray[np.bool_]) -> TickRows:
        """The rows for which ``keep`` is true."""
        return self if keep.all() else self._take(keep)

    def halves(self) -> tuple[TickRows, TickRows]:
        """The first and the second half of the rows."""
        middle = len(self) // 2
        return self._take(slice(None, middle)), self._take(slice(middle, None))

    def first_of_each(self) -> NDArray[np.bool_]:
        """True for each row whose key is not that of the row before it."""
        first = np.ones(len(self), np.bool_)
        if len(self) > 1:
            first[1:] = (self.trade_id[1:] != self.trade_id[:-1]) | (
                self.market_id[1:] != self.market_id[:-1]
            )
        return first

    def by_market(self) -> list[tuple[int, slice]]:
        """Each market id with where its rows are."""
        return self._by_market

    @cached_property
    def _by_market(self) -> list[tuple[int, slice]]:
        count, ids = len(self), self.market_id
        if not count:
            return []
        if ids[0] == ids[-1]:
            return [(int(ids[0]), slice(0, count))]
        starts = (np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist()
        return [(int(ids[start]), slice(start, end)) for start, end in pairwise([0, *starts, count])]

    def counts(self) -> Counter[int]:
        """How many rows each market id has."""
        return Counter({market_id: where.stop - where.start for market_id, where in self.by_market()})

    @cached_property
    def span_us(self) -> tuple[int, int]:
        """The earliest and the latest time. There must be a row."""
        if len(self) == 1:
            ts_us = int(self.ts_us[0])
            return ts_us, ts_us
        return int(self.ts_us.min()), int(self.ts_us.max())

    def days(self) -> dict[int, date]:
        """The UTC days of the rows, by days since the epoch."""
        if not len(self):
            return {}
        first, last = (ts_us // DAY_US for ts_us in self.span_us)
        days = [first] if first == last else np.unique(self.ts_us // DAY_US).tolist()
        return {day: utc_day(day * DAY_US) for day in days}

    def copy_data(self) -> bytearray:
        """What COPY … FROM STDIN (FORMAT BINARY) takes for COPY_COLUMNS."""
        data = bytearray(len(HEADER) + len(self) * _ROW.itemsize + len(TRAILER))
        data[: len(HEADER)] = HEADER
        data[-len(TRAILER) :] = TRAILER
        rows = np.frombuffer(data, _ROW, len(self), len(HEADER))
        rows[:] = _EMPTY_ROW
        for name, column in zip(COPY_COLUMNS, self._columns(), strict=True):
            rows[name] = column
        return data

    def arrays(self) -> list[bytes]:
        """The columns of COPY_COLUMNS as binary arrays, for a statement's parameters."""
        encoded = []
        for (oid, element), column in zip(_ELEMENTS, self._columns(), strict=True):
            elements = np.empty(len(self), element)
            elements["bytes"] = element["value"].itemsize
            elements["value"] = column
            encoded.append(_ARRAY_HEADER.pack(1, 0, oid, len(self), 1) + elements.tobytes())
        return encoded

    def _columns(self) -> tuple[NDArray[Any], ...]:
        """Those of COPY_COLUMNS, as Postgres counts time."""
        since_2000_us = self.ts_us - POSTGRES_EPOCH_US
        day = since_2000_us // DAY_US
        return self.trade_id, since_2000_us, self.price, self.amount, self.market_id, day, self.taker_buys

    def moves(self) -> list[MarketMove]:
        """What the rows did to each market."""
        return [self._move(market_id, where) for market_id, where in self.by_market()]

    def _move(self, market_id: int, where: slice) -> MarketMove:
        if where.stop - where.start == 1:
            return self._move_of_one(market_id, where.start)
        price, ts_us = self.price[where], self.ts_us[where]
        # Rows are ordered by id, so the first of the earliest and the last of the latest are meant.
        first = int(ts_us.argmin())
        last = len(ts_us) - 1 - int(ts_us[::-1].argmax())
        return MarketMove(
            market_id=market_id,
            first_id=int(self.trade_id[where.start]),
            last_id=int(self.trade_id[where.stop - 1]),
            open=float(price[first]),
            high=float(price.max()),
            low=float(price.min()),
            last=float(price[last]),
            volume=float(self.amount[where].sum()),
            count=len(price),
            last_ts_us=int(ts_us[last]),
        )

    def _move_of_one(self, market_id: int, at: int) -> MarketMove:
        trade_id, price = int(self.trade_id[at]), float(self.price[at])
        return MarketMove(
            market_id=market_id,
            first_id=trade_id,
            last_id=trade_id,
            open=price,
            high=price,
            low=price,
            last=price,
            volume=float(self.amount[at]),
            count=1,
            last_ts_us=int(self.ts_us[at]),
        )

    def _take(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> TickRows:
        return TickRows(
            self.market_id[which],
            self.trade_id[which],
            self.ts_us[which],
            self.price[which],
            self.amount[which],
            self.taker_buys[which],
        )
