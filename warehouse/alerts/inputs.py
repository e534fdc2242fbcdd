"""Inputs of rules on sentiment and data health, read for all such rules at once."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import AsyncConnection

from coinwatch.times import day_start_us

# Rows of stream_health are up to a second old.
_SILENCES = """
select market_id, extract(epoch from clock_timestamp() - last_received_at)::float8
from stream_health where market_id = any(%s) and last_received_at is not null
"""

_OPEN_GAPS = """
select asked.id, (select count(*) from stream_gaps where market_id = asked.id and state = 'open')
from unnest(%s::int[]) as asked (id)
"""


_FEAR_GREED = """
select day, value from sentiment where source = 'fear_greed' and value is not null order by day desc limit 1
"""

_SENTIMENTS = """
select distinct on (base) base, day, score from sentiment
where source = 'combined' and base = any(%s) and score is not null and day > current_date - 30
order by base, day desc
"""


async def fear_greed(conn: AsyncConnection) -> tuple[int, float] | None:
    """The newest Fear & Greed index: the start of its day in microseconds, and its value, 0 to 100."""
    row = await (await conn.execute(_FEAR_GREED)).fetchone()
    return None if row is None else (day_start_us(row[0]), row[1])


async def sentiments(conn: AsyncConnection, bases: Collection[str]) -> dict[str, tuple[int, float]]:
    """The newest combined score, -1 to 1, of each base that has one of the last month, and its day."""
    rows = await (await conn.execute(_SENTIMENTS, (list(bases),))).fetchall()
    return {base: (day_start_us(day), score) for base, day, score in rows}


async def silences(conn: AsyncConnection, market_ids: Collection[int]) -> dict[int, float]:
    """Seconds since the last message of each market, by the clock of the database."""
    return dict(await (await conn.execute(_SILENCES, (list(market_ids),))).fetchall())


async def open_gaps(conn: AsyncConnection, market_ids: Collection[int]) -> dict[int, int]:
    """The number of open stream gaps of each market."""
    return dict(await (await conn.execute(_OPEN_GAPS, (list(market_ids),))).fetchall())
