"""1m candles from stored trades, until those of the exchange are collected or where it serves none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg import AsyncConnection

from coinwatch.times import to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.candles.rollups import ROLLUPS
from warehouse.db.partitions import ensure_candle_months

# A minute counts when it was received completely: it overlaps no unfilled stream gap and does not contain
# the first trade of the market. Amounts are summed as decimals.
_FROM_TICKS = """
with first as (
    select market_id, (select min(ts) from ticks where ticks.market_id = asked.market_id) as ts
    from unnest(%(market_ids)s::integer[]) as asked (market_id)
), made as (
    select t.market_id, date_bin('1 minute', t.ts, 'epoch') as open_ts,
           (array_agg(price order by t.ts, trade_id))[1] as open,
           max(price) as high,
           min(price) as low,
           (array_agg(price order by t.ts desc, trade_id desc))[1] as close,
           sum(amount::numeric)::float8 as volume,
           sum(amount::numeric * price::numeric)::float8 as quote_volume,
           count(*)::integer as trades
    from ticks t
    where t.market_id = any(%(market_ids)s)
      and t.ts >= %(start)s and t.ts < %(end)s and t.day >= %(first_day)s and t.day <= %(last_day)s
    group by 1, 2
), stored as (
    insert into candles as old
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select market_id, '1m', open_ts, open, high, low, close, volume, quote_volume, trades, 'ticks'
    from made
    join first using (market_id)
    where first.ts <= made.open_ts
      and not exists (
        select from stream_gaps gap
        where gap.market_id = made.market_id and gap.state <> 'filled'
          and gap.after_ts < made.open_ts + interval '1 minute'
          and coalesce(gap.before_ts > made.open_ts, true)
      )
    order by market_id, open_ts
    on conflict (market_id, interval, open_ts) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, quote_volume = excluded.quote_volume, trades = excluded.trades,
        revision = old.revision + 1, updated_at = now()
    where old.source = 'ticks' and old.trades is distinct from excluded.trades
    returning market_id, open_ts
), changed as (
    select market_id, min(open_ts) as start, max(open_ts) + interval '1 minute' as "end"
    from stored group by market_id
), due as (
    insert into candle_rollups as known (market_id, interval, due)
    select market_id, rollup, tstzmultirange(tstzrange(start, "end"))
    from changed cross join unnest(%(rollups)s::text[]) as rollup
    order by market_id
    on conflict (market_id, interval) do update set due = known.due + excluded.due
), notified as (
    select pg_notify('candles', json_build_array(
        market_id, '1m', (extract(epoch from start) * 1000000)::bigint,
        (extract(epoch from "end") * 1000000)::bigint
    )::text)
    from changed
)
select (select count(*) from stored), (select count(*) from notified)
"""


async def candles_from_ticks(conn: AsyncConnection[Any], market_ids: Collection[int], window: Window) -> int:
    """Store the 1m candles of ``window`` computed from trades, with ``source`` ticks; return how many.

    Minutes that were not received completely get none. Candles from the exchange are never replaced, and
    coverage does not grow: the exchange is still asked. ``conn`` must be in autocommit.
    """
    first, last = utc_day(window.start_us), utc_day(window.end_us - 1)
    await ensure_candle_months(conn, {first.replace(day=1), last.replace(day=1)})
    cursor = await conn.execute(
        _FROM_TICKS,
        {
            "market_ids": list(market_ids),
            "start": to_datetime(window.start_us),
            "end": to_datetime(window.end_us),
            "first_day": first,
            "last_day": last,
            "rollups": [interval.value for interval in ROLLUPS],
        },
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
