"""What a look further back than trades are kept reads: candles, and since when there are trades."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection

import msgspec
from psycopg import AsyncConnection

from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, from_datetime, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.alerts.snapshots import CHUNK_ROWS


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A candle of a market."""

    market_id: int
    open_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float


# An hour at a time of one day: counting stops where there are enough.
_HOURS = """
select min(ts), count(*) from ticks
where market_id = any(%(ids)s) and day = %(day)s and ts >= %(since)s and ts < %(until)s
group by date_trunc('hour', ts)
order by 1 desc
"""

_BARS = """
select market_id, open_ts, open, high, low, close, volume from candles
where market_id = any(%(ids)s) and interval = %(interval)s and open_ts >= %(since)s and open_ts < %(until)s
order by open_ts, market_id
"""


_AVERAGE_MINUTES = """
select date_bin('1 minute', ts, 'epoch') as minute, min(price), max(price) from price_averages
where base = %s and quote = %s and ts >= %s and ts < %s
group by 1
order by 1
"""


async def average_minutes(
    conn: AsyncConnection, symbol: Symbol, window: Window
) -> list[tuple[int, float, float]]:
    """The minutes of ``window`` that a pair was averaged in: when it began, the lowest and the highest."""
    asked = (symbol.base, symbol.quote, to_datetime(window.start_us), to_datetime(window.end_us))
    rows = await (await conn.execute(_AVERAGE_MINUTES, asked)).fetchall()
    return [(from_datetime(minute), low, high) for minute, low, high in rows]


async def trades_since_us(
    conn: AsyncConnection, market_ids: Collection[int], window: Window, most: int
) -> int:
    """Since when in ``window`` at most ``most`` trades are kept, to about an hour; its end where none are."""
    since_us, count = window.end_us, 0
    day_us = window.end_us - 1
    while day_us > window.start_us - DAY_US:
        asked = {
            "ids": list(market_ids),
            "day": utc_day(day_us),
            "since": to_datetime(window.start_us),
            "until": to_datetime(window.end_us),
        }
        for first, trades in await (await conn.execute(_HOURS, asked)).fetchall():
            count += trades
            if count > most:
                return since_us
            since_us = from_datetime(first)
        day_us -= DAY_US
    return since_us


async def bars(
    conn: AsyncConnection, market_ids: Collection[int], interval: Interval, window: Window
) -> AsyncGenerator[list[Bar], None]:
    """The stored candles that open in ``window``, by (open, market), in chunks that split no moment.

    Call it inside a transaction.
    """
    async with conn.cursor(name="bars") as cursor:
        await cursor.execute(
            _BARS,
            {
                "ids": list(market_ids),
                "interval": interval.value,
                "since": to_datetime(window.start_us),
                "until": to_datetime(window.end_us),
            },
        )
        rest: list[Bar] = []
        while rows := await cursor.fetchmany(CHUNK_ROWS):
            read = rest + [Bar(row[0], from_datetime(row[1]), *row[2:]) for row in rows]
            last_us = read[-1].open_us
            rest = [one for one in read if one.open_us == last_us]
            if chunk := read[: len(read) - len(rest)]:
                yield chunk
        if rest:
            yield rest
