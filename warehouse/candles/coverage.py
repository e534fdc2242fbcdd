"""Coverage: which candles are wanted, verified and missing. Arithmetic on ranges, no scan of candles.

``candle_coverage`` has three multiranges for each market: ``wanted`` (requested), ``covered`` (verified
against the exchange, minutes without trades included) and ``unavailable`` (no longer served by the
exchange). Missing ranges are wanted, neither covered nor unavailable, while the market was listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from coinwatch.intervals import Interval
from coinwatch.records import Market, Symbol
from coinwatch.times import to_datetime
from coinwatch.windows import Window
from warehouse.db.arrays import POSTGRES_EPOCH_US

GAPS_SQL = """
    wanted
    * tstzmultirange(
        tstzrange(date_bin('1 minute', listed_at, 'epoch'), null)
        * tstzrange(null, least(
            {until}, date_bin('1 minute', delisted_at, 'epoch') + interval '1 minute'
        ))
    )
    - covered
    - unavailable
"""
"""The missing ranges up to ``until``, of a row of ``candle_coverage`` joined with its market."""

EXPECTED_AFTER = timedelta(minutes=10)
"""A minute not covered this long after its end is missing: collection runs every five minutes."""

_BOUNDED = np.dtype(
    [("size", ">i4"), ("flags", "u1"), ("size_1", ">i4"), ("start", ">i8"), ("size_2", ">i4"), ("end", ">i8")]
)


class _Windows(Loader):
    """A tstzmultirange with both ends of each range, as windows; 20 times as fast as psycopg's own."""

    format = Format.BINARY

    def load(self, data: Buffer) -> list[Window]:
        ranges = np.frombuffer(data, _BOUNDED, offset=4)
        starts = (ranges["start"] + POSTGRES_EPOCH_US).tolist()
        ends = (ranges["end"] + POSTGRES_EPOCH_US).tolist()
        return list(map(Window, starts, ends))


async def _windows(conn: AsyncConnection[Any], query: str, values: dict[str, Any]) -> dict[int, list[Window]]:
    """Rows of a market and a multirange."""
    async with conn.cursor(binary=True) as cursor:
        cursor.adapters.register_loader("tstzmultirange", _Windows)
        await cursor.execute(query, values)
        return {market_id: windows for market_id, windows in await cursor.fetchall() if windows}


def multirange(windows: Iterable[Window]) -> Multirange[Any]:
    """``windows`` as psycopg sends them."""
    return Multirange([Range(to_datetime(window.start_us), to_datetime(window.end_us)) for window in windows])


_MISSING = """
with asked as (
    select id as market_id,
           tstzmultirange(
               tstzrange(date_bin(%(step)s, listed_at, 'epoch'), null)
               * tstzrange(null, date_bin(%(step)s, delisted_at, 'epoch') + %(step)s)
               * tstzrange(%(start)s, %(end)s)
           ) as span
    from markets
    where id = any(%(market_ids)s)
)
select asked.market_id, span - coalesce(covered, '{}') - coalesce(unavailable, '{}')
from asked
left join candle_coverage as coverage
    on coverage.market_id = asked.market_id and coverage.interval = %(interval)s
order by asked.market_id
"""


async def missing(
    conn: AsyncConnection[Any], market_ids: Collection[int], interval: Interval, window: Window
) -> dict[int, list[Window]]:
    """The parts of ``window`` neither covered nor unavailable, ordered, by market.

    Limited to the time a market was listed. Markets with nothing missing are left out.
    """
    values = {
        "market_ids": list(market_ids),
        "interval": interval.value,
        "step": timedelta(seconds=interval.seconds),
        "start": to_datetime(window.start_us),
        "end": to_datetime(window.end_us),
    }
    return await _windows(conn, _MISSING, values)


_GAPS = f"""
select market_id, {GAPS_SQL.format(until="date_bin('1 minute', now() - %(late)s, 'epoch')")}
from candle_coverage join markets on markets.id = market_id
where interval = '1m'
order by market_id
"""  # noqa: S608 -- built from a constant of this file


async def gaps(conn: AsyncConnection[Any], late: timedelta = EXPECTED_AFTER) -> dict[int, list[Window]]:
    """The missing ranges of 1m candles, ordered, by market: the rows of ``v_gaps``.

    Minutes that ended less than ``late`` ago are not missing yet.
    """
    return await _windows(conn, _GAPS, {"late": late})


class Completeness(msgspec.Struct, frozen=True):
    """How complete the 1m candles of a market are, in minutes of what is wanted until now."""

    wanted: int
    covered: int
    unavailable: int


_COMPLETENESS = """
select exchange, base, quote, of_wanted.minutes, of_covered.minutes, of_unavailable.minutes
from candle_coverage
join markets on markets.id = market_id
cross join lateral (
    select wanted * tstzmultirange(tstzrange(null, date_bin('1 minute', now(), 'epoch'))) as span
) as due
cross join lateral (
    select coalesce(sum(extract(epoch from upper(r) - lower(r)) / 60), 0)::bigint as minutes
    from unnest(span) as r
) as of_wanted
cross join lateral (
    select coalesce(sum(extract(epoch from upper(r) - lower(r)) / 60), 0)::bigint as minutes
    from unnest(span * covered) as r
) as of_covered
cross join lateral (
    select coalesce(sum(extract(epoch from upper(r) - lower(r)) / 60), 0)::bigint as minutes
    from unnest(span * unavailable) as r
) as of_unavailable
where interval = '1m' and not isempty(wanted)
order by exchange, base, quote
"""


async def completeness(conn: AsyncConnection[Any]) -> dict[Market, Completeness]:
    """The completeness of every market with wanted ranges, in order."""
    cursor = await conn.execute(_COMPLETENESS)
    return {
        Market(exchange, Symbol(base, quote)): Completeness(*minutes)
        for exchange, base, quote, *minutes in await cursor.fetchall()
    }


# Rows are locked in the order of markets, so that two of these cannot wait for each other.
_WANT = """
insert into candle_coverage as coverage (market_id, interval, wanted)
select market_id, '1m', tstzmultirange(tstzrange(%(start)s, %(end)s))
from unnest(%(market_ids)s::integer[]) as market_id
order by market_id
on conflict (market_id, interval) do update set wanted = coverage.wanted + excluded.wanted
where not coverage.wanted @> excluded.wanted
"""

_WANT_NO_MORE = """
with idle as (
    select market_id from candle_coverage
    where interval = '1m' and upper_inf(wanted) and market_id <> all(%(market_ids)s)
    order by market_id
    for update
)
update candle_coverage as coverage
set wanted = wanted * tstzmultirange(tstzrange(null, now()))
from idle
where coverage.market_id = idle.market_id and interval = '1m'
"""


async def want(conn: AsyncConnection[Any], market_ids: Collection[int], window: Window) -> None:
    """Add ``window`` to the wanted ranges of 1m candles: what is not covered in it is missing from now on."""
    await conn.execute(
        _WANT,
        {
            "market_ids": list(market_ids),
            "start": to_datetime(window.start_us),
            "end": to_datetime(window.end_us),
        },
    )


async def want_from_now_on(conn: AsyncConnection[Any], market_ids: Collection[int], start_us: int) -> None:
    """Want all 1m candles of these active markets from ``start_us`` on, without end.

    The wanted ranges of all other markets end now; past ranges stay. ``conn`` must be in autocommit:
    each of the two locks its rows in the order of markets, both together would not.
    """
    ids = list(market_ids)
    await conn.execute(_WANT, {"market_ids": ids, "start": to_datetime(start_us), "end": None})
    await conn.execute(_WANT_NO_MORE, {"market_ids": ids})


_GIVE_UP = """
insert into candle_coverage as coverage (market_id, interval, unavailable)
values (%(market_id)s, %(interval)s, %(windows)s)
on conflict (market_id, interval) do update set unavailable = coverage.unavailable + excluded.unavailable
"""


async def give_up(
    conn: AsyncConnection[Any], market_id: int, interval: Interval, windows: Iterable[Window]
) -> None:
    """Record that the exchange no longer serves ``windows``: they are not requested again."""
    values = {"market_id": market_id, "interval": interval.value, "windows": multirange(windows)}
    await conn.execute(_GIVE_UP, values)
