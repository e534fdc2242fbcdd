"""What the active markets still lack, for checks, schedules and sensors."""

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
"""A closed minute not covered this long after its end was missed: a schedule tick is 5 minutes, a run
seldom takes as long."""


async def uncovered(
    conn: AsyncConnection[Any], markets: Iterable[Market], window: Window
) -> dict[Market, list[Window]]:
    """The uncovered minutes of ``window`` by market. A market never collected lacks all of it."""
    wanted = set(markets)
    known = {
        market_id: market for market_id, market in (await markets_by_id(conn)).items() if market in wanted
    }
    holes = await missing(conn, known, Interval.M1, window)
    lacking = {known[market_id]: windows for market_id, windows in holes.items()}
    lacking.update((market, [window]) for market in wanted.difference(known.values()))
    return dict(sorted(lacking.items()))


async def gaps_by_market(conn: AsyncConnection[Any]) -> dict[Market, list[Window]]:
    """What ``v_gaps`` shows: all that is wanted and not there, by market."""
    known = await markets_by_id(conn)
    return {known[market_id]: windows for market_id, windows in (await gaps(conn)).items()}


def days_in(windows: Iterable[Window]) -> set[date]:
    """The UTC days that ``windows`` touch."""
    return {utc_day(part.start_us) for window in windows for part in window.days()}


def stretches(days: Iterable[date], longest: int) -> list[tuple[date, date]]:
    """Runs of consecutive days as their first and last one, newest first, each of at most ``longest``."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(days), reverse=True):
        if found:
            first, last = found[-1]
            if (first - day).days == 1 and (last - day).days < longest:
                found[-1] = (day, last)
                continue
        found.append((day, day))
    return found
