"""Telling a machine what was before it began: last prices, windows, averages."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import AsyncConnection

from app.alerts.feeds import PriceFeed, Span, Turnover
from app.alerts.machine import Machine
from app.alerts.windows import HOUR_S
from coinwatch.times import SECOND_US
from warehouse.alert_history import (
    Slot,
    averages_within,
    closes,
    last_prices,
    slots,
)
from warehouse.alert_looks import Look

SLACK_S = 3_600
"""So much more than a window is read, to see whether it was there as far back as the window goes."""
MINUTE_S = 60


async def warm_prices(
    conn: AsyncConnection,
    machine: Machine,
    market_ids: Collection[int],
    before_us: int,
    seen: Look | None = None,
) -> None:
    """Tell the last price of each market, and of each pair's average. Before rules are put."""
    for last in await last_prices(conn, market_ids, before_us, seen):
        feed = machine.world.markets[last.market_id]
        feed.last = feed.price.value = last.price
        feed.last_us, feed.seq = last.ts_us, last.tx


async def warm_average(conn: AsyncConnection, feed: PriceFeed, before_us: int) -> None:
    """Tell the last average of a pair."""
    if known := await averages_within(conn, feed.symbol, before_us - 10 * SECOND_US, before_us):
        feed.seq = feed.last_us = known[-1][0]
        feed.last = feed.price.value = known[-1][1]


async def warm_windows(
    conn: AsyncConnection,
    machine: Machine,
    until_us: int,
    seen: Look | None = None,
    *,
    is_live: bool = False,
) -> None:
    """Fill the windows that are not filled yet with what was traded before ``until_us``.

    Of what was committed at ``seen`` (None: of all). ``is_live``: of a market that was heard of since,
    what was taken of it.
    """
    for feed in list(machine.world.markets.values()):
        cold = _cold(feed)
        if not cold:
            continue
        for slot_s in (1, MINUTE_S):
            windows = [one for one in cold if (_length_s(one) <= HOUR_S) == (slot_s == 1)]
            if windows:
                longest_s = max(map(_reach_s, windows)) + SLACK_S
                traded = await slots(
                    conn,
                    feed.market_id,
                    since_us=(until_us // SECOND_US - longest_s) * SECOND_US,
                    until_us=until_us,
                    slot_s=slot_s,
                    seen=None if is_live and feed.seq else seen,
                    through_tx=feed.seq if is_live and feed.seq else None,
                )
                _fill(windows, traded)
    for pair in list(machine.world.pairs.values()):
        for span in _cold(pair.average):
            since_us = until_us - (_reach_s(span) + SLACK_S) * SECOND_US
            averages = await averages_within(conn, pair.symbol, since_us, until_us)
            _fill([span], [Slot(ts_us, price, price, 0.0, ts_us) for ts_us, price in averages])
    for (market_id, interval), feed in list(machine.world.candles.items()):
        for span in _cold(feed):
            since_us = until_us - (_reach_s(span) + SLACK_S) * SECOND_US - interval.us
            stored = await closes(conn, market_id, interval, since_us, until_us)
            _fill([span], [Slot(one.close_us, one.price, one.price, 0.0, one.close_us) for one in stored])


def _cold(feed: PriceFeed) -> list[Span | Turnover]:
    return [one for one in _windows(feed) if not one.is_warm]


def _windows(feed: PriceFeed) -> list[Span | Turnover]:
    return [*feed.spans.values(), *feed.turnovers.values()]


def _fill(windows: list[Span | Turnover], traded: list[Slot]) -> None:
    for window in windows:
        since_us = traded[-1].ts_us - (_reach_s(window) + SLACK_S) * SECOND_US if traded else 0
        for slot in traded:
            if slot.ts_us < since_us:
                continue
            if isinstance(window, Span):
                window.extremes.add(slot.ts_us, slot.low, slot.high)
            else:
                window.sums.add(slot.ts_us, slot.volume)
        window.is_warm = True


def _length_s(window: Span | Turnover) -> int:
    return window.length_s


def _reach_s(window: Span | Turnover) -> int:
    return window.length_s + (window.usual_s if isinstance(window, Turnover) else 0)
