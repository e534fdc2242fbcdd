"""The stored 1m candles and averages that a backtest reads where it has no trades."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.records import Symbol
from coinwatch.times import from_datetime, to_datetime
from coinwatch.windows import Window


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A 1m candle of a market."""

    market_id: int
    open_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float


# Candles made of our own trades are whole minutes, too, and verified by nothing else.
_WINDOWS = """
select id, lower(span), upper(span)
from unnest(%(ids)s::int[]) as id
left join candle_coverage on market_id = id and interval = '1m'
cross join lateral unnest((
    coalesce(covered, '{}') + coalesce((
        select range_agg(tstzrange(open_ts, open_ts + interval '1 minute')) from candles
        where market_id = id and interval = '1m' and source = 'ticks'
          and open_ts >= %(since)s and open_ts < %(until)s
    ), '{}')
) * tstzmultirange(tstzrange(%(since)s, %(until)s))) as span
order by id, span
"""

_BARS = """
select market_id, open_ts, open, high, low, close, volume from candles
where market_id = any(%(ids)s) and interval = '1m' and open_ts >= %(since)s and open_ts < %(until)s
order by open_ts, market_id
"""

_AVERAGE_MINUTES = """
select date_bin('1 minute', ts, 'epoch') as minute, min(price), max(price) from price_averages
where base = %s and quote = %s and ts >= %s and ts < %s
group by 1
order by 1
"""


async def candle_windows(
    conn: AsyncConnection, market_ids: Collection[int], window: Window
) -> dict[int, list[Window]]:
    """The parts of ``window`` in which the 1m candles of a market are whole, in order, by market id."""
    windows: dict[int, list[Window]] = {market_id: [] for market_id in market_ids}
    cursor = await conn.execute(_WINDOWS, _asked(market_ids, window))
    for market_id, since, until in await cursor.fetchall():
        windows[market_id].append(Window(from_datetime(since), from_datetime(until)))
    return windows


async def bars(conn: AsyncConnection, market_ids: Collection[int], window: Window) -> list[Bar]:
    """The stored 1m candles that open in ``window``, by (open time, market). All are held in memory."""
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_BARS, _asked(market_ids, window))
        return [Bar(row[0], from_datetime(row[1]), *row[2:]) for row in await cursor.fetchall()]


async def average_minutes(
    conn: AsyncConnection, symbol: Symbol, window: Window
) -> list[tuple[int, float, float]]:
    """The minutes of ``window`` that have averages of a pair: open time, lowest and highest, in order."""
    asked = (symbol.base, symbol.quote, to_datetime(window.start_us), to_datetime(window.end_us))
    rows = await (await conn.execute(_AVERAGE_MINUTES, asked)).fetchall()
    return [(from_datetime(minute), low, high) for minute, low, high in rows]


def _asked(market_ids: Collection[int], window: Window) -> dict[str, Any]:
    return {
        "ids": list(market_ids),
        "since": to_datetime(window.start_us),
        "until": to_datetime(window.end_us),
    }
