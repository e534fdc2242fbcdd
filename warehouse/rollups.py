"""Candles of 5m and longer, from those of 1m: only what changed, whatever order it came in.

Each store of 1m candles adds its span to ``due`` of every longer interval, in its own transaction.
Rolling up takes what is due, makes those candles again from all their minutes and clears it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection, AsyncCursor

from coinwatch.intervals import Interval
from coinwatch.windows import Window
from warehouse.coverage import multirange

ROLLUPS = (Interval.M5, Interval.M15, Interval.H1, Interval.H4, Interval.D1)
MARKETS_AT_ONCE = 20
"""Markets rolled up in one transaction, so that none waits long for another's history."""


class RolledUp(msgspec.Struct, frozen=True):
    """What rolling up one interval did, in rows."""

    made: int
    revised: int
    deleted: int


_DUE = """
insert into candle_rollups as known (market_id, interval, due)
select %(market_id)s, interval, %(due)s::tstzmultirange from unnest(%(intervals)s::text[]) as interval
on conflict (market_id, interval) do update set due = known.due + excluded.due
where not known.due @> excluded.due
"""


async def mark_due(cursor: AsyncCursor[Any], market_id: int, changed: Sequence[Window]) -> None:
    """1m candles of a market changed in ``changed``; part of the transaction that changed them."""
    await cursor.execute(
        _DUE,
        {
            "market_id": market_id,
            "due": multirange(changed),
            "intervals": [interval.value for interval in ROLLUPS],
        },
    )


# A candle is due when its whole interval is over: the open one waits.
_MARKETS_DUE = """
select market_id from candle_rollups
where interval = %(interval)s
  and lower(due) < date_bin(%(step)s, now(), 'epoch')
order by market_id
limit %(limit)s
for update
"""

# A statement of its own after the lock: it sees whatever the stores that held it have stored.
# Volumes are summed as decimals, so that no order of rows and no rounding shows in them.
_ROLL_UP = """
with due as (
    select market_id, due * tstzmultirange(tstzrange(null, date_bin(%(step)s, now(), 'epoch'))) as span
    from candle_rollups
    where interval = %(interval)s and market_id = any(%(market_ids)s)
), buckets as (
    select distinct market_id, bucket
    from due
    cross join lateral unnest(span) as changed
    cross join lateral generate_series(
        date_bin(%(step)s, lower(changed), 'epoch'), upper(changed) - interval '1 microsecond', %(step)s
    ) as bucket
), made as (
    select b.market_id, bucket as open_ts,
           (array_agg(c.open order by c.open_ts))[1] as open,
           max(c.high) as high,
           min(c.low) as low,
           (array_agg(c.close order by c.open_ts desc))[1] as close,
           sum(c.volume::numeric)::float8 as volume,
           case when bool_and(c.quote_volume is not null)
                then sum(c.quote_volume::numeric)::float8 end as quote_volume,
           case when bool_and(c.trades is not null) then sum(c.trades)::integer end as trades
    from buckets b
    join candles c on c.market_id = b.market_id and c.interval = '1m'
         and c.open_ts >= bucket and c.open_ts < bucket + %(step)s
    group by b.market_id, bucket
), stored as (
    insert into candles as old
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select market_id, %(interval)s, open_ts, open, high, low, close, volume, quote_volume, trades, 'rollup'
    from made
    order by market_id, open_ts
    on conflict (market_id, interval, open_ts) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, quote_volume = excluded.quote_volume, trades = excluded.trades,
        source = excluded.source, revision = old.revision + 1, updated_at = now()
    where (old.open, old.high, old.low, old.close, old.volume, old.quote_volume, old.trades)
          is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
                            excluded.quote_volume, excluded.trades)
    returning market_id, open_ts, revision
), deleted as (
    delete from candles c
    using buckets b
    where c.market_id = b.market_id and c.interval = %(interval)s and c.open_ts = b.bucket
      and not exists (select from made m where m.market_id = b.market_id and m.open_ts = b.bucket)
    returning c.market_id, c.open_ts
), changed as (
    select market_id, open_ts from stored union all select market_id, open_ts from deleted
), told as (
    select pg_notify('candles', json_build_array(
        market_id, %(interval)s,
        (extract(epoch from min(open_ts)) * 1000000)::bigint,
        (extract(epoch from max(open_ts) + %(step)s) * 1000000)::bigint
    )::text)
    from changed
    group by market_id
), due_indicators as (
    insert into indicators_due as known (market_id, interval, since)
    select market_id, %(interval)s, min(open_ts) from changed group by market_id order by market_id
    on conflict (market_id, interval) do update set since = excluded.since
    where known.since > excluded.since
)
select (select count(*) filter (where revision = 0) from stored),
       (select count(*) filter (where revision > 0) from stored),
       (select count(*) from deleted),
       (select count(*) from told)
"""

# What is cleared is cut at the ends of intervals that are over, as above.
_DONE = """
update candle_rollups
set due = due * tstzmultirange(tstzrange(date_bin(%(step)s, now(), 'epoch'), null))
where interval = %(interval)s and market_id = any(%(market_ids)s)
"""


async def roll_up(conn: AsyncConnection[Any], interval: Interval) -> RolledUp:
    """Make every candle of ``interval`` again whose minutes changed and whose interval is over.

    ``conn`` must be in autocommit. Safe to run beside stores and beside itself: each transaction holds
    what is due of its markets, and a store that comes meanwhile makes it due again.
    """
    made = revised = deleted = 0
    values: dict[str, Any] = {
        "interval": interval.value,
        "step": timedelta(seconds=interval.seconds),
        "limit": MARKETS_AT_ONCE,
    }
    while True:
        async with conn.transaction():
            cursor = await conn.execute(_MARKETS_DUE, values)
            values["market_ids"] = [market_id for (market_id,) in await cursor.fetchall()]
            if not values["market_ids"]:
                return RolledUp(made, revised, deleted)
            counts = await (await conn.execute(_ROLL_UP, values)).fetchone()
            await conn.execute(_DONE, values)
        if counts:
            made, revised, deleted = made + counts[0], revised + counts[1], deleted + counts[2]


async def rollups_due(conn: AsyncConnection[Any]) -> int:
    """How many markets wait for a rollup of any interval."""
    cursor = await conn.execute(_ANY_DUE)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


_ANY_DUE = """
select count(distinct market_id) from candle_rollups
where lower(due) < date_bin(case interval
    when '5m' then interval '5 minutes' when '15m' then interval '15 minutes' when '1h' then interval '1 hour'
    when '4h' then interval '4 hours' else interval '1 day' end, now(), 'epoch')
"""
