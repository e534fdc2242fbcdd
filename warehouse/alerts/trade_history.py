"""The stored trades of some markets as a backtest reads them: where they are whole, by minute, each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from coinwatch.times import DAY_US, from_datetime, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.db.arrays import POSTGRES_EPOCH_US, Doubles, Times

LIVE_SLACK_S = 10
"""A live stream writes its health every second. Written this shortly before a time, it was live then."""
_ARRAY_HEADER_BYTES = 20
_BIGINTS_OID = 1016


class TradedMinute(msgspec.Struct, frozen=True, gc=False):
    """The trades of one market in one minute."""

    open_us: int
    market_id: int
    low: float
    high: float
    count: int
    last_us: int
    """The time of the last trade."""
    last: float
    """Its price."""


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """A stored trade, without its taker's side."""

    ts_us: int
    market_id: int
    trade_id: int
    price: float
    amount: float


# Trades are whole from the first that is stored to the last, or to when a stream was heard last,
# except in stream gaps that were not filled.
_WHOLE = """
with stored as (
    select id,
        exists (
            select from ticks where market_id = id and ts < %(since)s and day <= %(first_day)s
        ) as is_older,
        first.ts as first, last.ts as last
    from unnest(%(ids)s::int[]) as id
    left join lateral (
        select ts from ticks
        where market_id = id and ts >= %(since)s and ts < %(until)s
          and day between %(first_day)s and %(last_day)s
        order by ts limit 1
    ) first on true
    left join lateral (
        select ts from ticks
        where market_id = id and ts >= %(since)s and ts < %(until)s
          and day between %(first_day)s and %(last_day)s
        order by ts desc limit 1
    ) last on true
), heard as (
    select stored.id, case when is_older then %(since)s else first end as since,
        greatest(
            last + interval '1 us',
            case
                when state <> 'live' then last_received_at
                when updated_at > %(until)s::timestamptz - %(slack_s)s * interval '1 s' then %(until)s
                else updated_at
            end
        ) as until
    from stored left join stream_health on market_id = stored.id
)
select id, lower(span), upper(span)
from heard
cross join lateral unnest(
    tstzmultirange(tstzrange(since, least(until, %(until)s)))
    - coalesce((
        select range_agg(tstzrange(after_ts, before_ts)) from stream_gaps
        where market_id = heard.id and state <> 'filled' and (before_ts is null or before_ts > after_ts)
    ), '{}')
) as span
where since < until
order by id, span
"""

_COUNTS = """
select min(ts), count(*) from ticks
where market_id = any(%(ids)s) and day = %(day)s and ts >= %(since)s and ts < %(until)s
group by date_trunc('minute', ts)
order by 1 desc
"""

# One scan of the whole day, by several processes of Postgres.
_COUNT_AND_FIRST_BEYOND = """
select count(*), min(ts) filter (where price <= %(falling)s or price >= %(rising)s) from ticks
where market_id = %(market_id)s and day = %(day)s and ts >= %(since)s and ts < %(until)s
"""

# In the order of the index: ends with the first.
_FIRST_BEYOND = """
select 0, ts from ticks
where market_id = %(market_id)s and day = %(day)s and ts >= %(since)s and ts < %(until)s
  and (price <= %(falling)s or price >= %(rising)s)
order by ts limit 1
"""

# A look into the index for each minute: sorting or hashing a busy day takes longer.
_MINUTES = """
select extract(epoch from minute)::bigint * 1000000, id, low, high, count, last.ts, last.price
from generate_series(
    date_bin('1 minute', %(since)s, 'epoch'), %(until)s - interval '1 us', '1 minute'
) as minute
cross join unnest(%(ids)s::int[]) as id
cross join lateral (
    select min(price) as low, max(price) as high, count(*) as count from ticks
    where market_id = id and day = %(day)s
      and ts >= greatest(minute, %(since)s) and ts < least(minute + interval '1 minute', %(until)s)
) as traded
cross join lateral (
    select ts, price from ticks
    where market_id = id and day = %(day)s
      and ts >= greatest(minute, %(since)s) and ts < least(minute + interval '1 minute', %(until)s)
    order by ts desc, trade_id desc limit 1
) as last
"""

_TRADES = """
select array_agg(ts), array_agg(market_id::bigint), array_agg(trade_id), array_agg(price), array_agg(amount)
from (
    select ts, market_id, trade_id, price, amount from ticks
    where market_id = any(%(ids)s) and day between %(first_day)s and %(last_day)s
      and ts >= %(since)s and ts < %(until)s
    order by ts, market_id, trade_id
) as traded
"""


class _Column(Loader):
    """A one-dimensional array without nulls."""

    format = Format.BINARY
    dtype: ClassVar[str]
    start: ClassVar[int] = 0

    def load(self, data: Buffer) -> list[Any]:
        elements = np.frombuffer(data, [("size", ">i4"), ("value", self.dtype)], offset=_ARRAY_HEADER_BYTES)
        values: NDArray[Any] = elements["value"]
        items: list[Any] = (values + self.start if self.start else values).tolist()
        return items


class _Numbers(_Column):
    dtype = ">f8"


class _Integers(_Column):
    dtype = ">i8"


class _Moments(_Column):
    dtype = ">i8"
    start = POSTGRES_EPOCH_US


async def whole_windows(
    conn: AsyncConnection, market_ids: Collection[int], window: Window
) -> dict[int, list[Window]]:
    """The parts of ``window`` of which every trade of a market is stored, in order, by market id."""
    windows: dict[int, list[Window]] = {market_id: [] for market_id in market_ids}
    cursor = await conn.execute(_WHOLE, _asked(market_ids, window) | {"slack_s": LIVE_SLACK_S})
    for market_id, since, until in await cursor.fetchall():
        windows[market_id].append(Window(from_datetime(since), from_datetime(until)))
    return windows


async def last_trades_since_us(
    conn: AsyncConnection, market_ids: Collection[int], window: Window, most: int
) -> int:
    """Since when ``window`` has at most ``most`` trades, to the minute."""
    since_us, count = window.end_us, 0
    day_us = window.end_us - 1
    while day_us > window.start_us - DAY_US:
        asked = _asked(market_ids, window) | {"day": utc_day(day_us)}
        for first, trades in await (await conn.execute(_COUNTS, asked)).fetchall():
            count += trades
            if count > most:
                return since_us
            since_us = from_datetime(first)
        day_us -= DAY_US
    return window.start_us


async def first_beyond(
    conn: AsyncConnection,
    market_id: int,
    window: Window,
    falling: float,
    rising: float,
    *,
    is_counted: bool,
) -> tuple[int, int | None]:
    """How many trades a market had in ``window``, and the time of the first beyond two prices.

    Args:
        conn: A connection.
        market_id: The market.
        window: Within a UTC day.
        falling: A trade at or below this is searched for.
        rising: A trade at or above this is searched for.
        is_counted: Count the trades, too, which takes a scan of them all; else the count is 0.

    Returns:
        The count, and the time in microseconds, None where no trade is beyond.
    """
    asked = {
        "market_id": market_id,
        "day": utc_day(window.start_us),
        "since": to_datetime(window.start_us),
        "until": to_datetime(window.end_us),
        "falling": falling,
        "rising": rising,
    }
    cursor = await conn.execute(_COUNT_AND_FIRST_BEYOND if is_counted else _FIRST_BEYOND, asked)
    row = await cursor.fetchone()
    return (0, None) if row is None else (row[0], None if row[1] is None else from_datetime(row[1]))


async def traded_minutes(
    conn: AsyncConnection, market_ids: Collection[int], window: Window
) -> list[TradedMinute]:
    """The minutes of ``window``, which lies within a UTC day, with trades of some markets; not sorted."""
    asked = _asked(market_ids, window) | {"day": utc_day(window.start_us)}
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_MINUTES, asked)
        return [
            TradedMinute(open_us, market_id, low, high, count, from_datetime(ts), last)
            for open_us, market_id, low, high, count, ts, last in await cursor.fetchall()
        ]


async def trades_within(conn: AsyncConnection, market_ids: Collection[int], window: Window) -> list[TradeRow]:
    """Every stored trade of some markets within ``window``, by (time, market, trade id).

    As columns, in binary: a quarter of the time that rows take. All are held in memory.
    """
    async with conn.cursor(binary=True) as cursor:
        for oid, loader in (
            (Times.array_oid, _Moments),
            (_BIGINTS_OID, _Integers),
            (Doubles.array_oid, _Numbers),
        ):
            cursor.adapters.register_loader(oid, loader)
        await cursor.execute(_TRADES, _asked(market_ids, window))
        columns = await cursor.fetchone()
    if columns is None or columns[0] is None:
        return []
    return list(map(TradeRow, *columns))


def _asked(market_ids: Collection[int], window: Window) -> dict[str, Any]:
    return {
        "ids": list(market_ids),
        "since": to_datetime(window.start_us),
        "until": to_datetime(window.end_us),
        "first_day": utc_day(window.start_us),
        "last_day": utc_day(window.end_us - 1),
    }
