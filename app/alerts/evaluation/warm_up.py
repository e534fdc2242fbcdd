"""Sets the state of an engine from what is stored: last prices, averages, windows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from psycopg import AsyncConnection

from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.market_state import PriceSeries, Span, Turnover
from app.alerts.rules.rolling_windows import slot_us as slot_us_of
from coinwatch.liveness import AVERAGE_STALE_US
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from warehouse.alerts.history import (
    Slot,
    average_slots,
    averages_within,
    closes,
    is_averaged_before,
    is_known_before,
    last_prices,
    slots,
)
from warehouse.alerts.snapshots import CommitSnapshot

SLACK_US = 60 * MINUTE_US
"""How much more than a window is read: its newest price may be older than now."""


async def warm_prices(
    conn: AsyncConnection,
    engine: RuleEngine,
    market_ids: Collection[int],
    before_us: int,
    seen: CommitSnapshot | None = None,
) -> None:
    """Set the last price of each market. Call it before rules are put."""
    for last in await last_prices(conn, market_ids, before_us, seen):
        engine.learn_price(engine.market_state.markets[last.market_id], last.price, last.ts_us, last.tx)


async def warm_average(conn: AsyncConnection, engine: RuleEngine, symbol: Symbol, before_us: int) -> None:
    """Set the last average of a pair before a time."""
    since_us = before_us - AVERAGE_STALE_US
    known = await averages_within(conn, symbol, since_us, before_us)
    engine.learn_average(symbol, since_us, known[-1] if known else None)


async def warm_windows(
    conn: AsyncConnection,
    engine: RuleEngine,
    until_us: int,
    seen: CommitSnapshot | None = None,
    *,
    closed_us: int,
    is_live: bool = False,
) -> None:
    """Fill the windows that are not filled yet with prices from before ``until_us``.

    Args:
        conn: A connection.
        engine: Its windows are filled.
        until_us: The end of what is read.
        seen: Trades committed in this snapshot are read; None: all trades.
        closed_us: Candles that had closed by then, or by the last that was taken, are read.
        is_live: Of a market that traded since ``seen``, read the trades that were taken.
    """
    for feed in list(engine.market_state.markets.values()):
        for windows, slot_s, since_us in _by_slot(feed, until_us):
            traded = await slots(
                conn,
                feed.market_id,
                since_us=since_us,
                until_us=until_us,
                slot_s=slot_s,
                seen=None if is_live and feed.seq else seen,
                through_tx=feed.seq if is_live and feed.seq else None,
            )
            fill(windows, traded, since_us if await is_known_before(conn, feed.market_id, since_us) else None)
    for pair in list(engine.market_state.pairs.values()):
        known_until_us = min(until_us, pair.average.seq + 1) if pair.average.seq else until_us
        for windows, slot_s, since_us in _by_slot(pair.average, until_us):
            averaged = await average_slots(
                conn, pair.symbol, since_us=since_us, until_us=known_until_us, slot_s=slot_s
            )
            fill(
                windows, averaged, since_us if await is_averaged_before(conn, pair.symbol, since_us) else None
            )
    for (market_id, interval), feed in list(engine.market_state.candles.items()):
        for windows, _, since_us in _by_slot(feed, until_us):
            stored = await closes(conn, market_id, interval, since_us - interval.us, feed.seq or closed_us)
            is_older = await is_known_before(conn, market_id, since_us - interval.us, interval)
            closed = [Slot(close.close_us, close.price, close.price, 0.0, 0) for close in stored]
            fill(windows, closed, since_us if is_older else None)


def fill(windows: Sequence[Span | Turnover], known: Sequence[Slot], since_us: int | None) -> None:
    """Fill ``windows`` with earlier prices. ``since_us``: earlier prices than these exist; None: none do."""
    for window in windows:
        first_us = known[-1].ts_us - _reach_us(window) - SLACK_US if known else 0
        for slot in known:
            if slot.ts_us < first_us:
                continue
            if isinstance(window, Span):
                window.extremes.add(slot.ts_us, slot.low, slot.high)
            else:
                window.sums.add(slot.ts_us, slot.volume)
        measure = window.extremes if isinstance(window, Span) else window.sums
        if since_us is not None:
            measure.known_since_us = since_us
        elif known:
            measure.known_since_us = known[0].ts_us
        window.is_warm = True


def _by_slot(feed: PriceSeries, until_us: int) -> Iterator[tuple[list[Span | Turnover], int, int]]:
    """The windows of ``feed`` that are not filled yet, with the seconds of their slots and their start."""
    every: list[Span | Turnover] = [*feed.spans.values(), *feed.turnovers.values()]
    cold = [window for window in every if not window.is_warm]
    for slot_us in sorted({slot_us_of(window.length_s) for window in cold}):
        windows = [window for window in cold if slot_us_of(window.length_s) == slot_us]
        since_us = until_us - max(map(_reach_us, windows)) - SLACK_US
        yield windows, slot_us // SECOND_US, since_us - since_us % slot_us


def _reach_us(window: Span | Turnover) -> int:
    usual_s = window.usual_s if isinstance(window, Turnover) else 0
    return (window.length_s + usual_s) * SECOND_US
