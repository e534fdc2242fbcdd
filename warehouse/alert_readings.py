"""What rules on data health wait for, set-based, for all of them at once."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import AsyncConnection

# What health says is up to a second old: a market whose row is no older has been heard of since.
_SILENCES = """
select market_id, extract(epoch from clock_timestamp() - last_received_at)::float8
from stream_health where market_id = any(%s) and last_received_at is not null
"""

_OPEN_GAPS = """
select id, (select count(*) from stream_gaps where market_id = id and state = 'open')
from unnest(%s::int[]) as id
"""


async def silences(conn: AsyncConnection, market_ids: Collection[int]) -> dict[int, float]:
    """For how many seconds nothing was heard of each market, by the database's clock."""
    return dict(await (await conn.execute(_SILENCES, (list(market_ids),))).fetchall())


async def open_gaps(conn: AsyncConnection, market_ids: Collection[int]) -> dict[int, int]:
    """How many interruptions of each market are open."""
    return dict(await (await conn.execute(_OPEN_GAPS, (list(market_ids),))).fetchall())
