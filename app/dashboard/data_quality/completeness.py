"""How complete the stored candles are, by market and day. Pure: no Streamlit, no clock, no database."""

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
    """Of some candles, in seconds."""

    covered_s: float = 0.0
    unavailable_s: float = 0.0
    missing_s: float = 0.0
    quiet_s: float = 0.0
    """Of what is covered, the minutes in which nothing traded; 0 too where they were not counted."""

    @property
    def asked_s(self) -> float:
        return self.covered_s + self.unavailable_s + self.missing_s

    @property
    def share(self) -> float | None:
        """How much of what can be had is there; None where nothing was asked for or nothing can be had."""
        had_s = self.covered_s + self.missing_s
        return self.covered_s / had_s if had_s else None

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.covered_s + other.covered_s,
            self.unavailable_s + other.unavailable_s,
            self.missing_s + other.missing_s,
            self.quiet_s + other.quiet_s,
        )


@dataclass(frozen=True)
class MarketRow:
    """One market; an amount for each day, None where nothing was asked for."""

    market_id: int
    market: Market
    days: tuple[Amounts | None, ...]

    @property
    def whole(self) -> Amounts:
        return total(self.days)


@dataclass(frozen=True)
class Completeness:
    days: tuple[date, ...]
    rows: tuple[MarketRow, ...]
    """By what is missing, the most first, then by name."""
    tells_quiet: bool = False
    """Whether minutes without trades were counted."""

    @property
    def whole(self) -> Amounts:
        return total(row.whole for row in self.rows)


def total(amounts: Iterable[Amounts | None]) -> Amounts:
    """The sum; None counts as nothing."""
    return sum((one for one in amounts if one is not None), start=Amounts())


def build(
    markets: Sequence[WatchedMarket],
    found: Iterable[DayCoverage],
    window: Window,
    traded: Iterable[DayTraded] | None = None,
) -> Completeness:
    """A row for each of ``markets`` and a column for each UTC day of ``window``.

    The first column is the first day with anything, but there are ``LEAST_DAYS`` of them at least.
    ``traded``: None where it was not counted.
    """
    last = utc_day(window.end_us - 1)
    found = tuple(found)
    oldest = min((one.day for one in found), default=last)
    first = max(utc_day(window.start_us), min(oldest, last - timedelta(days=LEAST_DAYS - 1)))
    days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    minutes = None if traded is None else {(one.market_id, one.day): one.minutes for one in traded}
    known = {(one.market_id, one.day): _amounts(one, minutes) for one in found}
    rows = [
        MarketRow(
            watched.market_id, watched.market, tuple(known.get((watched.market_id, day)) for day in days)
        )
        for watched in markets
    ]
    rows.sort(key=lambda row: (-round(row.whole.missing_s), str(row.market.symbol), row.market.exchange))
    return Completeness(days, tuple(rows), tells_quiet=minutes is not None)


def _amounts(one: DayCoverage, minutes: Mapping[tuple[int, date], int] | None) -> Amounts:
    quiet_s = 0.0
    if minutes is not None:  # counted a little apart, so a minute may be in one and not in the other
        quiet_s = max(0.0, one.covered_s - 60.0 * minutes.get((one.market_id, one.day), 0))
    return Amounts(one.covered_s, one.unavailable_s, one.missing_s, quiet_s)
