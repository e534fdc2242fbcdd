"""Storing candles together with what they cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg import AsyncConnection, AsyncCursor

from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.times import to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.coverage import multirange
from warehouse.partitions import ensure_candle_months
from warehouse.rollups import mark_due

CANDLES = "candles"
"""NOTIFY channel: one CandlesNotice, as JSON, for each store that changed a row."""

Source = Literal["exchange", "ticks", "rollup"]


class CandlesNotice(msgspec.Struct, frozen=True, array_like=True):
    """Candles of one market changed somewhere in ``[start_us, end_us)``."""

    market_id: int
    interval: Interval
    start_us: int
    end_us: int


class Stored(msgspec.Struct, frozen=True):
    """What one ``store`` did, in rows."""

    inserted: int
    revised: int
    """There before with other values; the revision grew."""
    unchanged: int
    """There before with the same values, or verified against the exchange and so not replaced."""
    withdrawn: int
    """There before, in a span the exchange says is empty; deleted."""


_COVER = """
insert into candle_coverage as coverage (market_id, interval, covered)
values (%(market_id)s, %(interval)s, %(covered)s)
on conflict (market_id, interval) do update set covered = coverage.covered + excluded.covered
"""

_INCOMING = """
create temporary table if not exists incoming_candles (
    open_ts timestamptz primary key,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    quote_volume double precision,
    trades integer
) on commit delete rows
"""

_COPY = """
copy incoming_candles (open_ts, open, high, low, close, volume, quote_volume, trades)
from stdin (format binary)
"""
_COPY_TYPES = ("timestamptz", *("float8",) * 6, "int4")

_DIFFERS = """
(old.open, old.high, old.low, old.close, old.volume, old.quote_volume, old.trades)
is distinct from
(excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
 excluded.trades)
"""

# A row's revision and updated_at move only when a value does, so that corrections differ from repeats;
# a row that only gains its confirmation changes its source alone. What the exchange confirmed is never
# replaced by what we computed ourselves.
_UPSERT = f"""
with changed as (
    insert into candles as old
        (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
    select %(market_id)s, %(interval)s, open_ts, open, high, low, close, volume, quote_volume, trades,
           %(source)s
    from incoming_candles
    order by open_ts
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
)
select count(*) filter (where new_values and revision = 0),
       count(*) filter (where new_values and revision > 0)
from changed
"""  # noqa: S608 -- built from a constant of this file

# The outer ends make it a range of the index.
_WITHDRAW = """
delete from candles
where market_id = %(market_id)s and interval = %(interval)s
  and open_ts >= lower(%(covered)s::tstzmultirange) and open_ts < upper(%(covered)s::tstzmultirange)
  and %(covered)s::tstzmultirange @> open_ts
  and not exists (select from incoming_candles as incoming where incoming.open_ts = candles.open_ts)
"""


async def store(
    conn: AsyncConnection[Any],
    market_id: int,
    interval: Interval,
    candles: Sequence[Candle],
    covered: Sequence[Window],
    source: Source = "exchange",
) -> Stored:
    """Store candles of one market and the spans they cover, in one transaction.

    ``covered`` are the spans the exchange answered for, minutes without a trade included; a stored
    candle in them that is not among ``candles`` is withdrawn. Safe to repeat, and to run beside other
    stores of the same market: coverage grows in SQL and no range is lost.
    """
    await ensure_candle_months(conn, {utc_day(candle.open_ts_us).replace(day=1) for candle in candles})
    values = {
        "market_id": market_id,
        "interval": interval.value,
        "source": source,
        "covered": multirange(covered),
    }
    async with conn.transaction(), conn.cursor() as cursor:
        if covered:
            # First, because the row it locks puts concurrent stores of one market in a queue.
            await cursor.execute(_COVER, values)
        await _copy_incoming(cursor, candles)
        await cursor.execute(_UPSERT, values)
        inserted, revised = await cursor.fetchone() or (0, 0)
        withdrawn = 0
        if covered:
            await cursor.execute(_WITHDRAW, values)
            withdrawn = cursor.rowcount
        if inserted or revised or withdrawn:
            edges = [
                *(edge for window in covered for edge in (window.start_us, window.end_us)),
                *(
                    edge
                    for candle in candles
                    for edge in (candle.open_ts_us, candle.open_ts_us + interval.us)
                ),
            ]
            changed = Window(min(edges), max(edges))
            if interval is Interval.M1:
                await mark_due(cursor, market_id, [changed])
            notice = CandlesNotice(market_id, interval, changed.start_us, changed.end_us)
            await cursor.execute("select pg_notify(%s, %s)", (CANDLES, msgspec.json.encode(notice).decode()))
    return Stored(inserted, revised, len(candles) - inserted - revised, withdrawn)


async def _copy_incoming(cursor: AsyncCursor[Any], candles: Iterable[Candle]) -> None:
    await cursor.execute(_INCOMING)
    async with cursor.copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for candle in candles:
            await copy.write_row(_row(candle))


def _row(candle: Candle) -> tuple[datetime, float, float, float, float, float, float | None, int | None]:
    return (
        to_datetime(candle.open_ts_us),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trades,
    )
