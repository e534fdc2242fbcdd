"""Completeness of candles by market and day: arithmetic on ranges, no scan of candles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

import msgspec
from sqlalchemy import Connection, TextClause, text

from coinwatch.times import from_datetime, to_datetime
from coinwatch.windows import Window
from warehouse.candles.coverage import EXPECTED_AFTER, GAPS_SQL

MOST_SPANS = 500

Kind = Literal["covered", "unavailable", "missing"]


class DayCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """A market and UTC day of 1m candles, in seconds; the rest of the day was never wanted."""

    market_id: int
    day: date
    covered_s: float
    """Verified against the exchange."""
    unavailable_s: float
    """The exchange no longer serves it."""
    missing_s: float
    """Wanted, due by now, and not stored."""


class Hole(msgspec.Struct, frozen=True):
    """A missing or unavailable range of candles."""

    market_id: int
    kind: Literal["missing", "unavailable"]
    window: Window


class DayTraded(msgspec.Struct, frozen=True):
    """The verified minutes with trades of a market and UTC day; the other verified minutes are empty."""

    market_id: int
    day: date
    minutes: int


class DayMinutes(msgspec.Struct, frozen=True):
    """A UTC day of a market: its ranges by kind, and the minutes that have a candle."""

    spans: tuple[tuple[Kind, Window], ...]
    opened_us: tuple[int, ...]


_GAPS = GAPS_SQL.format(until="cast(:expected as timestamptz)")

_SPANS = f"""
with known as (
    select c.market_id, c.covered, c.unavailable, {_GAPS} as missing,
        tstzmultirange(tstzrange(:since, :until)) as span
    from candle_coverage c join markets m on m.id = c.market_id
    where c."interval" = '1m' and c.market_id = any(cast(:ids as int[]))
),
spans as (
    select market_id, 'covered' as kind, unnest(covered * span) as span from known
    union all
    select market_id, 'unavailable', unnest((unavailable - covered) * span) from known
    union all
    select market_id, 'missing', unnest(missing * span) from known
)
"""  # noqa: S608 -- built from constants


def _of_spans(query: str) -> TextClause:
    """``query`` over the relation ``spans``."""
    return text(_SPANS + query)


_DAYS = _of_spans("""
select market_id, day::date as day,
    coalesce(sum(seconds) filter (where kind = 'covered'), 0) as covered_s,
    coalesce(sum(seconds) filter (where kind = 'unavailable'), 0) as unavailable_s,
    coalesce(sum(seconds) filter (where kind = 'missing'), 0) as missing_s
from spans
cross join lateral generate_series(
    date_trunc('day', lower(span) at time zone 'utc'), (upper(span) at time zone 'utc') - interval '1 us',
    interval '1 day'
) as day
cross join lateral (
    select cast(extract(epoch from least(upper(span) at time zone 'utc', day + interval '1 day')
        - greatest(lower(span) at time zone 'utc', day)) as float8) as seconds
) piece
group by 1, 2 order by 1, 2""")

_HOLES = _of_spans("""
select market_id, kind, lower(span) as since, upper(span) as until from spans
where kind <> 'covered' order by kind, upper(span) desc, market_id limit :most""")

_KINDS = _of_spans("select kind, lower(span) as since, upper(span) as until from spans order by since")

# A count by the index alone for each day, in whose partition it looks.
_TRADED = text("""
with verified as (
    select market_id, unnest(covered * tstzmultirange(tstzrange(:since, :until))) as span
    from candle_coverage where "interval" = '1m' and market_id = any(cast(:ids as int[]))
)
select market_id, (day at time zone 'utc')::date as day, sum(minutes)::bigint as minutes
from verified
cross join lateral generate_series(
    date_bin('1 day', lower(span), 'epoch'), upper(span) - interval '1 us', interval '1 day'
) as day
cross join lateral (
    select count(*) as minutes from candles
    where market_id = verified.market_id and "interval" = '1m'
        and open_ts >= greatest(day, lower(span)) and open_ts < least(day + interval '1 day', upper(span))
) counted
where minutes > 0
group by 1, 2 order by 1, 2""")

_OPENED = text("""
select open_ts from candles
where market_id = :id and "interval" = '1m' and open_ts >= :since and open_ts < :until order by open_ts""")


def coverage_by_day(
    conn: Connection, market_ids: Sequence[int], window: Window, now_us: int
) -> tuple[DayCoverage, ...]:
    """The completeness of each market on each UTC day of ``window``; no row where nothing was wanted."""
    rows = conn.execute(_DAYS, _parameters(market_ids, window, now_us))
    return tuple(DayCoverage(**row._mapping) for row in rows)


def holes(conn: Connection, market_ids: Sequence[int], window: Window, now_us: int) -> tuple[Hole, ...]:
    """The missing ranges of ``window``, then the unavailable ranges, each newest first.

    At most ``MOST_SPANS``.
    """
    rows = conn.execute(_HOLES, _parameters(market_ids, window, now_us) | {"most": MOST_SPANS})
    return tuple(
        Hole(row.market_id, row.kind, Window(from_datetime(row.since), from_datetime(row.until)))
        for row in rows
    )


def traded_by_day(conn: Connection, market_ids: Sequence[int], window: Window) -> tuple[DayTraded, ...]:
    """The verified minutes with trades of each market and UTC day of ``window``; no row where there are none.

    It counts candles, about three million a second.
    """
    asked = {
        "ids": list(market_ids),
        "since": to_datetime(window.start_us),
        "until": to_datetime(window.end_us),
    }
    return tuple(DayTraded(*row) for row in conn.execute(_TRADED, asked))


def day_minutes(conn: Connection, market_id: int, day: Window, now_us: int) -> DayMinutes:
    """The ranges and minutes of one day."""
    spans = conn.execute(_KINDS, _parameters([market_id], day, now_us))
    bounds = {"since": to_datetime(day.start_us), "until": to_datetime(day.end_us)}
    opened = conn.execute(_OPENED, {"id": market_id, **bounds}).scalars()
    return DayMinutes(
        tuple((row.kind, Window(from_datetime(row.since), from_datetime(row.until))) for row in spans),
        tuple(from_datetime(moment) for moment in opened),
    )


def _parameters(market_ids: Sequence[int], window: Window, now_us: int) -> dict[str, object]:
    return {
        "ids": list(market_ids),
        "since": to_datetime(window.start_us),
        "until": to_datetime(window.end_us),
        "expected": to_datetime(now_us) - EXPECTED_AFTER,
    }
