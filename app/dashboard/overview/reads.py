"""What only the Overview reads from the warehouse: a day of prices, in coarse steps."""

from __future__ import annotations

from collections.abc import Sequence

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import DashboardReads
from coinwatch.records import Symbol
from coinwatch.times import now_us
from warehouse.candles import chart_reads


def sparklines(
    source: DashboardReads, market_ids: Sequence[int]
) -> Reading[dict[Symbol, tuple[tuple[int, float], ...]]]:
    """The prices of each symbol over a day."""
    return source.read(
        ("sparklines", *market_ids), lambda conn: chart_reads.sparklines(conn, market_ids, now_us()), 30
    )


def market_sparklines(
    source: DashboardReads, market_ids: Sequence[int]
) -> Reading[dict[int, tuple[float, ...]]]:
    """The closes of each market over a day."""
    return source.read(
        ("market sparklines", *market_ids),
        lambda conn: chart_reads.market_sparklines(conn, market_ids, now_us()),
        60,
    )
