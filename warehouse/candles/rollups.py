"""Rollups: candles of 5m and longer, recomputed from 1m candles where those changed.

Each store of 1m candles adds its range to ``due`` of every longer interval, in its own transaction. A
rollup recomputes the candles that are due from all their minutes, and clears what it did.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.intervals import Interval

ROLLUPS = (Interval.M5, Interval.M15, Interval.H1, Interval.H4, Interval.D1)


class RolledUp(msgspec.Struct, frozen=True):
    """The effect of rolling up one interval, in rows."""

    made: int
    revised: int
    deleted: int


# A candle is due when its whole interval is over: the open one waits.
_NEXT_DUE = """
select market_id from candle_rollups
where interval = %(interval)s and market_id > %(market_id)s
  and lower(due) < date_bin(%(step)s, now(), 'epoch')
order by market_id
limit 1
for update
"""

# A statement of its own after the lock: it sees whatever the stores that held it have stored.
# Volumes are summed as decimals, so that no order of rows and no rounding shows in them.
_ROLL_UP = """
with spans as (
    select lower(span) as start, upper(span) as "end"
    from unnest((
        select range_agg(tstzrange(
            date_bin(%(step)s, lower(changed), 'epoch'),
            date_bin(%(step)s, upper(changed) - interval '1 microsecond', 'epoch') + %(step)s
        ))
        from unnest((
            select due * tstzmultirange(tstzrange(null, date_bin(%(step)s, now(), 'epoch')))
            from candle_rollups where interval = %(interval)s and market_id = %(market_id)s
        )) as changed
    )) as span
), made as (
    select date_bin(%(step)s, open_ts, 'epoch') as bucket,
           (array_agg(open order by open_ts))[1] as open,
           max(high) as high,
           min(low) as low,
           (array_agg(close order by open_ts desc))[1] as close,
           sum(volume::numeric)::float8 as volume,
           case when bool_and(quote_volume is not null)
                then sum(quote_volume::numeric)::float8 end as quote_volume,
           case when bool_and(trades is not null) then sum(trades)::integer end as trades
    from spans
    cross join lateral (
        select * from candles
        where market_id = %(market_id)s and interval = '1m' and open_ts >= start and open_ts < "end"
        offset 0
    ) as minutes
    group by bucket
), stored as (
    insert into candles as old
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select %(market_id)s, %(interval)s, bucket, open, high, low, close, volume, quote_volume, trades, 'rollup'
    from made
    order by bucket
    on conflict (market_id, interval, open_ts) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, quote_volume = excluded.quote_volume, trades = excluded.trades,
        source = excluded.source, revision = old.revision + 1, updated_at = now()
    where (old.open, old.high, old.low, old.close, old.volume, old.quote_volume, old.trades)
          is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
                            excluded.quote_volume, excluded.trades)
    returning open_ts, revision
), deleted as (
    delete from candles
    using spans
    where market_id = %(market_id)s and interval = %(interval)s and open_ts >= start and open_ts < "end"
      and not exists (select from made where bucket = open_ts)
    returning open_ts
), changed as (
    select min(open_ts) as first, max(open_ts) + %(step)s as "end"
    from (select open_ts from stored union all select open_ts from deleted) as rows
    having count(*) > 0
), notified as (
    select pg_notify('candles', json_build_array(
        %(market_id)s::integer, %(interval)s::text,
        (extract(epoch from first) * 1000000)::bigint, (extract(epoch from "end") * 1000000)::bigint
    )::text)
    from changed
), due_indicators as (
    insert into indicators_due as known (market_id, interval, since)
    select %(market_id)s, %(interval)s, first from changed
    on conflict (market_id, interval) do update set since = excluded.since
    where known.since > excluded.since
)
select (select count(*) filter (where revision = 0) from stored),
       (select count(*) filter (where revision > 0) from stored),
       (select count(*) from deleted),
       (select count(*) from notified)
"""

# What is cleared is cut at the ends of intervals that are over, as above.
_DONE = """
update candle_rollups
set due = due * tstzmultirange(tstzrange(date_bin(%(step)s, now(), 'epoch'), null))
where interval = %(interval)s and market_id = %(market_id)s
"""


async def roll_up(conn: AsyncConnection[Any], interval: Interval) -> RolledUp:
    """Recompute every closed candle of ``interval`` whose minutes changed.

    ``conn`` must be in autocommit. Safe to run beside stores and beside itself: each transaction locks the
    due ranges of one market, and a store during it makes them due again.
    """
    made = revised = deleted = 0
    values = {"interval": interval.value, "step": timedelta(seconds=interval.seconds), "market_id": 0}
    while True:
        async with conn.transaction():
            due = await (await conn.execute(_NEXT_DUE, values)).fetchone()
            if due is None:
                return RolledUp(made, revised, deleted)
            values["market_id"] = due[0]
            counts = await (await conn.execute(_ROLL_UP, values)).fetchone() or (0, 0, 0)
            await conn.execute(_DONE, values)
        made, revised, deleted = made + counts[0], revised + counts[1], deleted + counts[2]


async def rollups_due(conn: AsyncConnection[Any]) -> int:
    """How many markets have a rollup of any interval due."""
    cursor = await conn.execute(_ANY_DUE)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


_ANY_DUE = """
select count(distinct market_id) from candle_rollups
where lower(due) < date_bin(case interval
    when '5m' then interval '5 minutes' when '15m' then interval '15 minutes' when '1h' then interval '1 hour'
    when '4h' then interval '4 hours' else interval '1 day' end, now(), 'epoch')
"""
