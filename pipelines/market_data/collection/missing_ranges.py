"""Missing ranges of candles by market, for checks, schedules and sensors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from psycopg import AsyncConnection

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import utc_day
from coinwatch.windows import Window
from warehouse.candles.coverage import EXPECTED_AFTER, gaps, missing
from warehouse.markets import markets_by_id

LATE_US = EXPECTED_AFTER // timedelta(microseconds=1)
"""A closed minute that is not covered this long after its end was missed: the schedule runs every 5
minutes, and a run rarely takes as long."""


async def missing_in(
    conn: AsyncConnection[Any], window: Window, markets: Iterable[Market]
) -> dict[Market, list[Window]]:
    """The missing ranges of one-minute candles in ``window``, for those of ``markets`` that have any.

    For a market that was never collected that is the whole window.
    """
    wanted = set(markets)
    known = {
        market_id: market for market_id, market in (await markets_by_id(conn)).items() if market in wanted
    }
    by_id = await missing(conn, known, Interval.M1, window)
    by_market = {known[market_id]: windows for market_id, windows in by_id.items()}
    by_market.update((market, [window]) for market in wanted.difference(known.values()))
    return dict(sorted(by_market.items()))


async def missing_ranges(conn: AsyncConnection[Any]) -> dict[Market, list[Window]]:
    """All missing ranges by market, as in the view ``v_gaps``."""
    known = await markets_by_id(conn)
    return {known[market_id]: windows for market_id, windows in (await gaps(conn)).items()}


def days_in(windows: Iterable[Window]) -> set[date]:
    """The UTC days that ``windows`` touch."""
    return {utc_day(part.start_us) for window in windows for part in window.days()}


def day_ranges(days: Iterable[date], longest: int) -> list[tuple[date, date]]:
    """Group consecutive days into (first, last), newest first, each range of at most ``longest`` days."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days), reverse=True):
        if ranges:
            first, last = ranges[-1]
            if (first - day).days == 1 and (last - day).days < longest:
                ranges[-1] = (day, last)
                continue
        ranges.append((day, day))
    return ranges
