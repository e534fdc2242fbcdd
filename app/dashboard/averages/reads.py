"""What only the Averages page reads from the warehouse: the averages of one pair."""

from __future__ import annotations

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import LIVE_S, WEEK_US, DashboardReads
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us
from coinwatch.windows import Window
from warehouse.averages import reads
from warehouse.averages.store import PairAverage


def samples(
    source: DashboardReads,
    symbol: Symbol,
    range_us: int,
    step_us: int,
    warm_up: int,
    until_us: int | None = None,
) -> Reading[tuple[PairAverage, ...]]:
    """One average a step of the last ``range_us``, or of the ``range_us`` before ``until_us``.

    ``warm_up`` steps before the range are read too.
    """

    def ask(conn: Connection) -> tuple[PairAverage, ...]:
        end_us = until_us or -(-now_us() // step_us) * step_us
        start_us = end_us - range_us // step_us * step_us - warm_up * step_us
        return reads.average_samples(conn, symbol, Window(start_us, end_us), step_us)

    fresh_s = max(LIVE_S, min(step_us / 2 / SECOND_US, 30))
    return source.read(("samples", symbol, range_us, step_us, warm_up, until_us), ask, fresh_s)


def at(source: DashboardReads, symbol: Symbol, at_us: int) -> Reading[tuple[PairAverage, ...]]:
    """The average in force at a moment, as a tuple of one; empty when there was none."""
    return source.read(("average at", symbol, at_us), lambda conn: reads.average_at(conn, symbol, at_us), 30)


def last(source: DashboardReads, symbol: Symbol) -> Reading[tuple[PairAverage, ...]]:
    """The newest average of a week, as a tuple of one; empty when there is none."""
    return source.read(
        ("last average", symbol), lambda conn: reads.average_at(conn, symbol, now_us(), WEEK_US), 5
    )
