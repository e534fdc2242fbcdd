"""Averages as a stream of prices: which pairs there are, updates on a grid of times, and what is new.

An update stands at a whole multiple of an interval and has the first average stored in that interval.
That is the row that stays when old averages are thinned to the first of each minute, so that an update
read again later is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, from_datetime, to_datetime

ROWS_AT_ONCE = 1_000
UPDATES_AT_ONCE = 2_000
"""Intervals that one read of ``stored_updates`` goes through at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredPrice(msgspec.Struct, frozen=True):
    """A row of price_averages, as streams publish it."""

    ts_us: int
    price: float
    exchanges: tuple[str, ...]


class PairKnown(msgspec.Struct, frozen=True):
    """Whether averages of a pair are stored."""

    is_recent: bool
    """Of the last 24 hours."""
    is_stored: bool


_KNOWN = """
select pair.base, pair.quote,
    exists (
        select from price_averages one
        where one.base = pair.base and one.quote = pair.quote and one.ts > now() - interval '1 day'
    ),
    exists (select from price_averages one where one.base = pair.base and one.quote = pair.quote)
from unnest(%(bases)s::text[], %(quotes)s::text[]) as pair (base, quote)
"""

_COMPUTED_NOW = "select distinct base, quote from price_averages where ts > now() - interval '1 minute'"

# A row written by a clock far ahead must not hide the rows after it: it counts once its time has come.
_LATEST = """
select ts, price, exchanges from price_averages
where base = %s and quote = %s and ts <= now() + interval '1 minute'
order by ts desc limit 1
"""

_AFTER = f"""
select pair.base, pair.quote, stored.ts, stored.price, stored.exchanges
from unnest(%(bases)s::text[], %(quotes)s::text[], %(after)s::timestamptz[]) as pair (base, quote, after)
cross join lateral (
    select ts, price, exchanges from price_averages average
    where average.base = pair.base and average.quote = pair.quote and average.ts > pair.after
        and average.ts <= now() + interval '1 minute'
    order by ts limit {ROWS_AT_ONCE}
) stored
order by stored.ts
"""  # noqa: S608 -- built from constants

# The bucket of the first update that is one too many.
_ONE_TOO_MANY = """
select date_bin(%(step)s, one.ts, %(epoch)s) as at
from unnest(%(quotes)s::text[]) with ordinality as pair (quote, number)
join price_averages one on one.base = %(base)s and one.quote = pair.quote and one.ts >= %(since)s
group by pair.number, at
order by at desc
offset %(most)s limit 1
"""

# One index probe for each update there is: empty years and full seconds cost no more than what is read.
_UPDATES = """
with recursive pair as (
    select * from unnest(%(bases)s::text[], %(quotes)s::text[], %(through)s::timestamptz[])
        as pair (base, quote, through)
), opening as materialized (
    select pair.base, pair.quote, pair.through, stored.*
    from pair
    cross join lateral (
        select ts, price, exchanges from price_averages one
        where one.base = pair.base and one.quote = pair.quote and one.ts >= %(since)s
            and one.ts <= pair.through
        order by ts limit 1
    ) stored
), page as materialized (
    select date_bin(%(step)s, min(ts), %(epoch)s) + %(length)s as until from opening
), found as (
    select opening.* from opening, page where opening.ts < page.until
    union all
    select found.base, found.quote, found.through, following.*
    from found, page
    cross join lateral (
        select ts, price, exchanges from price_averages one
        where one.base = found.base and one.quote = found.quote
            and one.ts >= date_bin(%(step)s, found.ts, %(epoch)s) + %(step)s
            and one.ts < page.until and one.ts <= found.through
        order by ts limit 1
    ) following
)
select base, quote, ts, price, exchanges from found order by ts
"""


async def pairs_known(conn: AsyncConnection, pairs: Sequence[Symbol]) -> dict[Symbol, PairKnown]:
    """Which of ``pairs`` have averages stored."""
    cursor = await conn.execute(_KNOWN, _columns(pairs))
    return {
        Symbol(base, quote): PairKnown(is_recent, is_stored)
        for base, quote, is_recent, is_stored in await cursor.fetchall()
    }


async def pairs_computed_now(conn: AsyncConnection) -> list[Symbol]:
    """The pairs that had an average in the last minute, by name."""
    rows = await (await conn.execute(_COMPUTED_NOW)).fetchall()
    return sorted(Symbol(base, quote) for base, quote in rows)


async def latest_price(conn: AsyncConnection, pair: Symbol) -> StoredPrice | None:
    """The newest average of ``pair``, however old."""
    row = await (await conn.execute(_LATEST, (pair.base, pair.quote))).fetchone()
    return None if row is None else _price(*row)


async def prices_after(
    conn: AsyncConnection, after_us: Mapping[Symbol, int]
) -> list[tuple[Symbol, StoredPrice]]:
    """What is stored of each pair after its time, oldest first; at most ROWS_AT_ONCE of a pair."""
    after = {"after": [to_datetime(ts_us) for ts_us in after_us.values()]}
    return _prices(await (await conn.execute(_AFTER, _columns(list(after_us)) | after)).fetchall())


async def earliest_that_fits(
    conn: AsyncConnection, base: str, quotes: Sequence[str], *, since_us: int, interval_us: int, most: int
) -> int | None:
    """From when on at most ``most`` updates are stored; None where ``since_us`` does.

    ``since_us`` is a whole multiple of ``interval_us``, and so is the answer.
    """
    asked = _grid(interval_us) | {
        "base": base,
        "quotes": list(quotes),
        "since": to_datetime(since_us),
        "most": most,
    }
    row = await (await conn.execute(_ONE_TOO_MANY, asked)).fetchone()
    return None if row is None else from_datetime(row[0]) + interval_us


async def stored_updates(
    conn: AsyncConnection, through_us: Mapping[Symbol, int], *, since_us: int, interval_us: int
) -> list[tuple[Symbol, StoredPrice]]:
    """The first average of each interval from ``since_us`` on, a page of them, in order of time.

    A pair's rows after its ``through_us`` are left out. ``since_us`` is a whole multiple of
    ``interval_us``. The page has all updates of UPDATES_AT_ONCE intervals from that of its first row on;
    empty: there are no more.
    """
    asked = _grid(interval_us) | {
        "through": [to_datetime(ts_us) for ts_us in through_us.values()],
        "since": to_datetime(since_us),
        "length": to_datetime(UPDATES_AT_ONCE * interval_us) - _EPOCH,
    }
    return _prices(await (await conn.execute(_UPDATES, _columns(list(through_us)) | asked)).fetchall())


def _columns(pairs: Sequence[Symbol]) -> dict[str, Any]:
    return {"bases": [pair.base for pair in pairs], "quotes": [pair.quote for pair in pairs]}


def _grid(interval_us: int) -> dict[str, Any]:
    if interval_us % SECOND_US:
        raise ValueError(f"an interval of {interval_us} µs is not of whole seconds")
    return {"step": to_datetime(interval_us) - _EPOCH, "epoch": _EPOCH}


def _prices(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Symbol, StoredPrice]]:
    return [(Symbol(base, quote), _price(*row)) for base, quote, *row in rows]


def _price(ts: datetime, price: float, exchanges: Sequence[str]) -> StoredPrice:
    return StoredPrice(from_datetime(ts), price, tuple(exchanges))
