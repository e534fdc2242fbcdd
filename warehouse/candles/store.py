"""Storing candles together with what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec
from psycopg import AsyncConnection, errors

from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.times import to_datetime
from coinwatch.windows import Window
from warehouse.candles.coverage import multirange
from warehouse.candles.rollups import ROLLUPS
from warehouse.candles.rows import CandleRows
from warehouse.db.arrays import takes_columns
from warehouse.db.partitions import ensure_candle_months

CANDLES = "candles"
"""NOTIFY channel: a CandlesNotice as JSON for each store that changed a row."""

MANY_ROWS = 50
"""From this many rows on, an insert is tried before the upsert: in a backfill nothing was stored before."""

_known_months: WeakKeyDictionary[AsyncConnection[Any], set[date]] = WeakKeyDictionary()
"""The months each connection has ensured. Partitions of candles are never dropped."""

Source = Literal["exchange", "ticks", "rollup"]


class CandlesNotice(msgspec.Struct, frozen=True, array_like=True):
    """Candles of one market changed somewhere in ``[start_us, end_us)``."""

    market_id: int
    interval: Interval
    start_us: int
    end_us: int


class Stored(msgspec.Struct, frozen=True):
    """The effect of one ``store``, in rows."""

    inserted: int
    revised: int
    """Stored before with other values; the revision increased."""
    unchanged: int
    """Stored before with the same values, or confirmed by the exchange and therefore kept."""
    withdrawn: int
    """Stored before, in a range that is empty at the exchange; deleted."""


# In the select list, where columns are read side by side: 10 % faster than ``from unnest(...)``.
_GIVEN = """
unnest(%(open_ts)s::timestamptz[]) as open_ts, unnest(%(open)s::float8[]) as open,
unnest(%(high)s::float8[]) as high, unnest(%(low)s::float8[]) as low, unnest(%(close)s::float8[]) as close,
unnest(%(volume)s::float8[]) as volume, nullif(unnest(%(quote_volume)s::float8[]), 'NaN') as quote_volume,
nullif(unnest(%(trades)s::int4[]), -1) as trades
"""

_COVER = """
insert into candle_coverage as coverage (market_id, interval, covered)
values (%(market_id)s, %(interval)s, %(covered)s)
on conflict (market_id, interval) do update set covered = coverage.covered + excluded.covered
"""

_DIFFERS = """
(old.open, old.high, old.low, old.close, old.volume, old.quote_volume, old.trades)
is distinct from
(excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
 excluded.trades)
"""

# Revision and updated_at of a row change only with its values, so that corrections differ from repeats; a
# confirmation changes the source alone. Candles confirmed by the exchange are never replaced by our own.
# Withdrawn are stored candles in the covered ranges that were not sent now; lower and upper bound make that
# a range scan of the index.
_STORE = f"""
with incoming as materialized (
    select {_GIVEN}
), stored as (
    insert into candles as old
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select %(market_id)s, %(interval)s, open_ts, open, high, low, close, volume, quote_volume, trades,
           %(source)s
    from incoming
    on conflict (market_id, interval, open_ts) do update set
        open = excluded.open,
        high = excluded.high,
        low = excluded.low,
        close = excluded.close,
        volume = excluded.volume,
        quote_volume = excluded.quote_volume,
        trades = excluded.trades,
        source = excluded.source,
        revision = old.revision + ({_DIFFERS})::integer,
        updated_at = case when {_DIFFERS} then now() else old.updated_at end
    where (old.source <> 'exchange' or excluded.source = 'exchange')
      and (old.source <> excluded.source or {_DIFFERS})
    returning revision, updated_at = now() as new_values
), withdrawn as (
    delete from candles
    where market_id = %(market_id)s and interval = %(interval)s
      and open_ts >= lower(%(covered)s::tstzmultirange) and open_ts < upper(%(covered)s::tstzmultirange)
      and %(covered)s::tstzmultirange @> open_ts
      and not exists (select from incoming where incoming.open_ts = candles.open_ts)
    returning true
), counts as (
    select count(*) filter (where new_values and revision = 0) as inserted,
           count(*) filter (where new_values and revision > 0) as revised,
           (select count(*) from withdrawn) as withdrawn
    from stored
), changed as (
    select from counts where inserted + revised + withdrawn > 0
), due as (
    insert into candle_rollups as known (market_id, interval, due)
    select %(market_id)s, rollup, tstzmultirange(tstzrange(%(start)s, %(end)s))
    from changed cross join unnest(%(rollups)s::text[]) as rollup
    on conflict (market_id, interval) do update set due = known.due + excluded.due
    where not known.due @> excluded.due
), notified as (
    select pg_notify('{CANDLES}', %(notice)s) from changed
)
select inserted, revised, withdrawn, (select count(*) from notified) from counts
"""  # noqa: S608 -- built from constants of this file


# A whole store in one statement, for a range in which no candle is stored yet: half the cost of _STORE,
# which has to compare rows. If another process stores one of these candles meanwhile, it fails and changes
# nothing. Each part reads the part before, so that locks are taken in the order of _COVER and _STORE.
_INSERT_NEW = f"""
with probe as materialized (
    select not exists (
        select from candles
        where market_id = %(market_id)s and interval = %(interval)s
          and open_ts >= %(start)s and open_ts < %(end)s
    ) as is_new
), covering as (
    insert into candle_coverage as coverage (market_id, interval, covered)
    select %(market_id)s, %(interval)s, %(covered)s::tstzmultirange
    from probe
    where is_new and not isempty(%(covered)s::tstzmultirange)
    on conflict (market_id, interval) do update set covered = coverage.covered + excluded.covered
    returning true
), inserted as (
    insert into candles
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select %(market_id)s, %(interval)s, {_GIVEN}, %(source)s
    from (select count(*) from covering) as first
    join probe on is_new
    returning true
), counts as (
    select count(*) as inserted from inserted having count(*) > 0
), due as (
    insert into candle_rollups as known (market_id, interval, due)
    select %(market_id)s, rollup, tstzmultirange(tstzrange(%(start)s, %(end)s))
    from counts cross join unnest(%(rollups)s::text[]) as rollup
    on conflict (market_id, interval) do update set due = known.due + excluded.due
    where not known.due @> excluded.due
)
select inserted, pg_notify('{CANDLES}', %(notice)s) from counts
"""  # noqa: S608 -- built from constants of this file


async def store(
    conn: AsyncConnection[Any],
    market_id: int,
    interval: Interval,
    candles: Sequence[Candle],
    covered: Sequence[Window],
    source: Source = "exchange",
) -> Stored:
    """Store candles of one market and the ranges they cover, in one transaction: ``store_rows`` of them."""
    return await store_rows(conn, market_id, interval, CandleRows.of(candles), covered, source)


async def store_rows(
    conn: AsyncConnection[Any],
    market_id: int,
    interval: Interval,
    rows: CandleRows,
    covered: Sequence[Window],
    source: Source = "exchange",
) -> Stored:
    """Store candles of one market and the ranges they cover, in one transaction.

    Safe to repeat, and to run beside other stores of the same market: coverage grows in SQL, so no
    range is lost.

    Args:
        conn: A connection in autocommit mode.
        market_id: The market.
        interval: The interval of all candles.
        rows: The candles, each open time at most once. A caller that stores answer after answer makes
            them while Postgres stores the answer before.
        covered: The ranges the exchange answered for, minutes without a trade included. A stored candle
            in them that is not among ``rows`` is deleted.
        source: Where the candles are from. Candles confirmed by the exchange are not replaced by others.

    Raises:
        psycopg.errors.CheckViolation: Postgres refused a candle. Nothing was stored.
    """
    if not len(rows) and not covered:
        return Stored(0, 0, 0, 0)
    await _ensure_months(conn, rows.months)
    edges = [edge for window in covered for edge in (window.start_us, window.end_us)]
    if len(rows):
        edges += [rows.first_us, rows.last_us + interval.us]
    changed = Window(min(edges), max(edges))
    notice = CandlesNotice(market_id, interval, changed.start_us, changed.end_us)
    values = {
        "market_id": market_id,
        "interval": interval.value,
        "source": source,
        "covered": multirange(covered),
        **rows.columns,
        "start": to_datetime(changed.start_us),
        "end": to_datetime(changed.end_us),
        "rollups": [rollup.value for rollup in ROLLUPS] if interval is Interval.M1 else [],
        "notice": msgspec.json.encode(notice).decode(),
    }
    async with conn.cursor() as cursor:
        takes_columns(cursor)
        if len(rows) >= MANY_ROWS:
            with suppress(errors.UniqueViolation):
                await cursor.execute(_INSERT_NEW, values)
                if cursor.rowcount:
                    return Stored(len(rows), 0, 0, 0)
        async with conn.pipeline(), conn.transaction():
            if covered:
                # A statement of its own, first: its row lock serialises stores of one market, and the next
                # statement sees the rows of all stores before it.
                await cursor.execute(_COVER, values)
            await cursor.execute(_STORE, values)
            inserted, revised, withdrawn, _ = await cursor.fetchone() or (0, 0, 0, 0)
    return Stored(inserted, revised, len(rows) - inserted - revised, withdrawn)


async def _ensure_months(conn: AsyncConnection[Any], months: set[date]) -> None:
    known = _known_months.setdefault(conn, set())
    if not months <= known:
        await ensure_candle_months(conn, months)
        known |= months
