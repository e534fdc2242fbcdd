"""How complete the stored candles are, by market and day. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from coinwatch.records import Market
from coinwatch.times import utc_day
from coinwatch.windows import Window
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.candles.coverage_reads import DayCoverage, DayTraded

DAY_S = 86_400
LEAST_DAYS = 7


@dataclass(frozen=True)
class Amounts:
    """Amounts of candles, in seconds of their time."""

    covered_s: float = 0.0
    unavailable_s: float = 0.0
    missing_s: float = 0.0
    quiet_s: float = 0.0
    """Covered minutes without trades; also 0 where they were not counted."""

    @property
    def wanted_s(self) -> float:
        return self.covered_s + self.unavailable_s + self.missing_s

    @property
    def share(self) -> float | None:
        """The covered share of what exchanges serve, 0 to 1; None where nothing was wanted or is served."""
        served_s = self.covered_s + self.missing_s
        return self.covered_s / served_s if served_s else None

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.covered_s + other.covered_s,
            self.unavailable_s + other.unavailable_s,
            self.missing_s + other.missing_s,
            self.quiet_s + other.quiet_s,
        )


@dataclass(frozen=True)
class MarketRow:
    """A market with its amounts by day; None for a day on which nothing was wanted."""

    market_id: int
    market: Market
    days: tuple[Amounts | None, ...]

    @property
    def total(self) -> Amounts:
        return sum_of(self.days)


@dataclass(frozen=True)
class Completeness:
    """The heat map: a row for each market, a column for each day."""

    days: tuple[date, ...]
    rows: tuple[MarketRow, ...]
    """Those with the most missing come first, then by name."""
    has_quiet: bool = False
    """Whether minutes without trades were counted."""

    @property
    def total(self) -> Amounts:
        return sum_of(row.total for row in self.rows)


def sum_of(amounts: Iterable[Amounts | None]) -> Amounts:
    """The sum of all amounts; None counts as 0."""
    return sum((amount for amount in amounts if amount is not None), start=Amounts())


def build(
    markets: Sequence[WatchedMarket],
    coverage: Iterable[DayCoverage],
    window: Window,
    traded: Iterable[DayTraded] | None = None,
) -> Completeness:
    """The heat map of ``markets`` over the UTC days of ``window``.

    The first column is the first day with any coverage; there are at least ``LEAST_DAYS`` columns.

    Args:
        markets: A row for each.
        coverage: Amounts by market and day.
        window: Whole UTC days.
        traded: Minutes with trades by market and day; None where they were not counted.
    """
    last = utc_day(window.end_us - 1)
    coverage = tuple(coverage)
    oldest = min((row.day for row in coverage), default=last)
    first = max(utc_day(window.start_us), min(oldest, last - timedelta(days=LEAST_DAYS - 1)))
    days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    minutes = None if traded is None else {(row.market_id, row.day): row.minutes for row in traded}
    known = {(row.market_id, row.day): _amounts(row, minutes) for row in coverage}
    rows = [
        MarketRow(
            watched.market_id, watched.market, tuple(known.get((watched.market_id, day)) for day in days)
        )
        for watched in markets
    ]
    rows.sort(key=lambda row: (-round(row.total.missing_s), str(row.market.symbol), row.market.exchange))
    return Completeness(days, tuple(rows), has_quiet=minutes is not None)


def _amounts(row: DayCoverage, minutes: Mapping[tuple[int, date], int] | None) -> Amounts:
    quiet_s = 0.0
    if minutes is not None:  # counted by another query, so a minute may be in one count only
        quiet_s = max(0.0, row.covered_s - 60.0 * minutes.get((row.market_id, row.day), 0))
    return Amounts(row.covered_s, row.unavailable_s, row.missing_s, quiet_s)
