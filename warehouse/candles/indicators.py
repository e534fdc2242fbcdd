"""Indicators of stored candles: computed from the first changed candle to the newest, and stored.

Each change of candles of 5m and longer records its first candle in ``indicators_due``, in the same
transaction. Everything after it is recomputed, because nearly all indicators depend on earlier candles.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection, errors, postgres
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from coinwatch.indicators import NAMES, WARM_UP, Floats, Series, compute
from coinwatch.intervals import Interval
from coinwatch.times import from_datetime, to_datetime
from coinwatch.windows import Window
from warehouse.db.arrays import POSTGRES_EPOCH_US
from warehouse.db.copy_in import HEADER, TRAILER
from warehouse.db.partitions import ensure_indicator_months

_ARRAY_HEADER_BYTES = 20

# A row of binary COPY: how many columns, then the length and the eight bytes of each.
_ROW = np.dtype(
    [("columns", ">i2"), ("size_of_open_ts", ">i4"), ("open_ts", ">i8")]
    + [field for name in NAMES for field in ((f"size_of_{name}", ">i4"), (name, ">f8"))]
)


class _Floats(Loader):
    """A float8[] without nulls as numpy has it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Floats:
        elements = np.frombuffer(data, [("size", ">i4"), ("value", ">f8")], offset=_ARRAY_HEADER_BYTES)
        return elements["value"].astype(np.float64)


class _Times(Loader):
    """A timestamptz[] without nulls, in microseconds."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.int64]:
        elements = np.frombuffer(data, [("size", ">i4"), ("value", ">i8")], offset=_ARRAY_HEADER_BYTES)
        return elements["value"].astype(np.int64) + POSTGRES_EPOCH_US


class Computed(msgspec.Struct, frozen=True):
    """The effect of computing one series, in rows."""

    market_id: int
    interval: Interval
    computed: int
    stored: int
    """New, or with changed values."""
    deleted: int
    """Of deleted candles."""


_DUE = """
select market_id, interval from indicators_due order by market_id, interval
"""

_SPAN = """
select min(open_ts), max(open_ts) from candles where market_id = %(market_id)s and interval = %(interval)s
"""

_TAKE = """
select since from indicators_due where market_id = %(market_id)s and interval = %(interval)s
for update skip locked
"""

# Looked up by subqueries, as joins read the whole series where there are no statistics yet.
_WARM_UP = """
with warm_up as (
    select open_ts from candles
    where market_id = %(market_id)s and interval = %(interval)s and open_ts < %(since)s
    order by open_ts desc limit %(warm_up)s
), edges as (
    select min(open_ts) as first_ts, max(open_ts) as last_ts from warm_up
)
select first_ts, case when (
    select true from indicators
    where market_id = %(market_id)s and interval = %(interval)s and open_ts = last_ts
) then (
    select obv from indicators
    where market_id = %(market_id)s and interval = %(interval)s and open_ts = first_ts
) end
from edges
"""

# A column is one value, so that nothing is done a row at a time.
_READ = """
select array_agg(open_ts), array_agg(high), array_agg(low), array_agg(close), array_agg(volume)
from (
    select open_ts, high, low, close, volume from candles
    where market_id = %(market_id)s and interval = %(interval)s and open_ts >= %(from_ts)s
    order by open_ts
) series
"""

_COLUMNS = ", ".join(NAMES)
_INCOMING = f"""
create temporary table if not exists incoming_indicators (
    open_ts timestamptz, {", ".join(f"{name} float8" for name in NAMES)}
) on commit delete rows
"""
_COPY = f"copy incoming_indicators (open_ts, {_COLUMNS}) from stdin (format binary)"

# NaN is what binary rows of one width can hold in place of null.
_UPSERT = f"""
insert into indicators as old (market_id, interval, open_ts, {_COLUMNS})
select %(market_id)s, %(interval)s, open_ts, {", ".join(f"nullif({name}, 'NaN')" for name in NAMES)}
from incoming_indicators
order by open_ts
on conflict (market_id, interval, open_ts) do update set
    {", ".join(f"{name} = excluded.{name}" for name in NAMES)}
where ({", ".join(f"old.{name}" for name in NAMES)})
      is distinct from ({", ".join(f"excluded.{name}" for name in NAMES)})
"""  # noqa: S608 -- built from constants

_DELETE = """
delete from indicators
where market_id = %(market_id)s and interval = %(interval)s and open_ts >= %(since)s
  and not exists (select from incoming_indicators as incoming where incoming.open_ts = indicators.open_ts)
"""

_DONE = "delete from indicators_due where market_id = %(market_id)s and interval = %(interval)s"


async def indicators_due(conn: AsyncConnection[Any]) -> list[tuple[int, Interval]]:
    """The ids and intervals of the markets whose candles changed since their indicators were computed."""
    rows = await (await conn.execute(_DUE)).fetchall()
    return [(market_id, Interval(interval)) for market_id, interval in rows]


_WITHOUT = """
select count(*) from candles
where interval <> '1m' and open_ts >= %(since)s and open_ts < %(until)s
  and not exists (
    select from indicators
    where indicators.market_id = candles.market_id and indicators.interval = candles.interval
      and indicators.open_ts = candles.open_ts
  )
  and not exists (
    select from indicators_due
    where indicators_due.market_id = candles.market_id and indicators_due.interval = candles.interval
  )
"""


async def candles_without_indicators(conn: AsyncConnection[Any], window: Window) -> int:
    """How many candles of 5m and longer that open in ``window`` have none, and are not due either."""
    bounds = {"since": to_datetime(window.start_us), "until": to_datetime(window.end_us)}
    row = await (await conn.execute(_WITHOUT, bounds)).fetchone()
    return int(row[0]) if row else 0


async def compute_indicators(
    conn: AsyncConnection[Any], market_id: int, interval: Interval
) -> Computed | None:
    """Compute and store what is due of one market and interval, in one transaction.

    None when nothing is due, or while another process computes it. ``conn`` must be in autocommit.
    Candles that change meanwhile are due again.
    """
    values: dict[str, Any] = {"market_id": market_id, "interval": interval.value, "warm_up": WARM_UP}
    await ensure_indicator_months(conn, await _months(conn, values))
    try:
        async with conn.transaction():
            return await _compute(conn, values)
    except errors.CheckViolation:
        return None  # older candles came in between, of a month without a partition: still due


async def _compute(conn: AsyncConnection[Any], values: dict[str, Any]) -> Computed | None:
    taken = await (await conn.execute(_TAKE, values)).fetchone()
    if taken is None:
        return None
    values = {**values, "since": taken[0]}
    # Cumulative indicators continue from the first candle of the warm-up. Where that or the last has no
    # indicators, all of them are made.
    first_ts, first_obv = await (await conn.execute(_WARM_UP, values)).fetchone() or (None, None)
    if first_obv is None:
        first_ts = values["since"] = "-infinity"
    series = await _read(conn, {**values, "from_ts": first_ts})
    start = 0 if first_obv is None else int(np.searchsorted(series.open_ts_us, from_datetime(taken[0])))
    computed = compute(series, first_obv)
    await conn.execute(_INCOMING)
    async with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        await copy.write(_rows(series, computed, start))
    stored = (await conn.execute(_UPSERT, values)).rowcount
    deleted = (await conn.execute(_DELETE, values)).rowcount
    await conn.execute(_DONE, values)
    return Computed(values["market_id"], Interval(values["interval"]), len(series) - start, stored, deleted)


async def _months(conn: AsyncConnection[Any], values: Mapping[str, Any]) -> list[date]:
    """The months that candles of the series may be in."""
    first, last = await (await conn.execute(_SPAN, values)).fetchone() or (None, None)
    months: list[date] = []
    while first and first <= last:
        months.append(first.date())
        first = (first.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0)
    return months


async def _read(conn: AsyncConnection[Any], values: Mapping[str, Any]) -> Series:
    async with conn.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(postgres.types["float8"].array_oid, _Floats)
        cursor.adapters.register_loader(postgres.types["timestamptz"].array_oid, _Times)
        columns = await (await cursor.execute(_READ, values)).fetchone()
    if columns is None or columns[0] is None:
        return Series(np.empty(0, np.int64), *(np.empty(0),) * 4)
    return Series(*columns)


def _rows(series: Series, computed: Mapping[str, Floats], start: int) -> bytes:
    """The rows from ``start`` on, as binary COPY reads them."""
    rows = np.empty(len(series) - start, _ROW)
    rows["columns"] = 1 + len(NAMES)
    rows["size_of_open_ts"] = 8
    rows["open_ts"] = series.open_ts_us[start:] - POSTGRES_EPOCH_US
    for name in NAMES:
        rows[f"size_of_{name}"] = 8
        rows[name] = computed[name][start:]
    return HEADER + rows.tobytes() + TRAILER
