"""What the configured markets still lack, for checks, schedules and sensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from psycopg import AsyncConnection

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import MINUTE_US, utc_day
from coinwatch.windows import Window
from warehouse.candles import missing
from warehouse.markets import markets_by_id

LATE_US = 10 * MINUTE_US
"""A closed minute not covered this long after its end was missed: a schedule tick is 5 minutes, a run
seldom takes as long."""


async def uncovered(
    conn: AsyncConnection[Any], markets: Iterable[Market], interval: Interval, window: Window
) -> dict[Market, list[Window]]:
    """The uncovered parts of ``window`` by market. A market never collected lacks all of it."""
    wanted = set(markets)
    known = {
        market_id: market for market_id, market in (await markets_by_id(conn)).items() if market in wanted
    }
    holes = await missing(conn, known, interval, window)
    lacking = {known[market_id]: windows for market_id, windows in holes.items()}
    lacking.update((market, [window]) for market in wanted.difference(known.values()))
    return dict(sorted(lacking.items()))


def first_day(lacking: Mapping[Market, list[Window]]) -> date | None:
    """The earliest day that lacks anything, None when nothing does."""
    return min((utc_day(windows[0].start_us) for windows in lacking.values()), default=None)
