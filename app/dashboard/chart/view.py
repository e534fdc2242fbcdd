"""What the Chart shows, built from candles. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from app.dashboard.ui.indicators import Array, Indicator, Line, Series
from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.times import DAY_US, MINUTE_US
from coinwatch.windows import Window
from warehouse.candles.chart_reads import LastTrade

RANGES = {
    "1h": DAY_US // 24,
    "6h": DAY_US // 4,
    "1d": DAY_US,
    "3d": 3 * DAY_US,
    "1w": 7 * DAY_US,
    "1mo": 30 * DAY_US,
    "3mo": 90 * DAY_US,
    "1y": 365 * DAY_US,
}
"""Lengths of chart a viewer can choose, in microseconds."""

AUTO = "auto"
MOST_SHOWN = 5_000
"""No chart holds more candles: a coarser interval is used instead."""

COMFORTABLE = 750
"""``auto`` picks the finest interval with at most this many candles."""


def fitting(chosen: str, range_us: int) -> tuple[Interval, str]:
    """The interval to draw for a choice (``auto`` or an interval), and a note when it is another."""
    if chosen != AUTO:
        interval = Interval(chosen)
        if range_us <= MOST_SHOWN * interval.us:
            return interval, ""
    limit = COMFORTABLE if chosen == AUTO else MOST_SHOWN
    fitted = next((interval for interval in Interval if range_us <= limit * interval.us), Interval.D1)
    if chosen == AUTO:
        return fitted, ""
    count = range_us // Interval(chosen).us
    return fitted, f"{count:,} candles of {chosen} are too many for one chart. Showing {fitted}."


def splice(history: Sequence[Candle], tail: Sequence[Candle]) -> list[Candle]:
    """``history`` with its end replaced by the newer ``tail``."""
    if not tail:
        return list(history)
    return [candle for candle in history if candle.open_ts_us < tail[0].open_ts_us] + list(tail)


def close_at(candles: Sequence[Candle], trade: LastTrade | None) -> list[Candle]:
    """``candles`` with the last one closing at ``trade``, so that chart and headline show one price."""
    if not candles or trade is None:
        return list(candles)
    last = candles[-1]
    if not last.open_ts_us <= trade.ts_us < last.open_ts_us + last.interval.us:
        return list(candles)
    closed = replace(
        last, close=trade.price, high=max(last.high, trade.price), low=min(last.low, trade.price)
    )
    return [*candles[:-1], closed]


def zoomed(shown: Window, at_us: int, range_name: str, now_us: int) -> tuple[str, int | None] | None:
    """The range to zoom in to from ``range_name``, and its end; None for now.

    ``shown`` is what the viewer has zoomed to. A whole chart becomes the next shorter range around ``at_us``.
    None when there is no shorter one.
    """
    shorter = [name for name, length_us in RANGES.items() if length_us < RANGES[range_name]]
    fitted = next((name for name in shorter if RANGES[name] >= shown.length_us), None)
    if fitted is not None:
        at_us = (shown.start_us + shown.end_us) // 2
    elif shorter:
        fitted = shorter[-1]
    else:
        return None
    until_us = -(-(at_us + RANGES[fitted] // 2) // MINUTE_US) * MINUTE_US
    return fitted, until_us if until_us < now_us else None


@dataclass(frozen=True)
class ChartView:
    """Candles on an unbroken time grid; a bucket without a trade holds None."""

    interval: Interval
    opens_us: tuple[int, ...]
    candles: tuple[Candle | None, ...]
    lines: tuple[Line, ...]
    missing: tuple[tuple[int, int], ...]
    """First and last bucket of each missing range."""
    quiet: tuple[tuple[int, float], ...]
    """Buckets without trades, each with the close before it."""
    notes: tuple[str, ...]
    is_live: bool = True
    """Whether its last bucket is the current one."""
    begins_us: int | None = None
    """Where stored history begins, if inside the range; the chart then begins there."""

    @property
    def last(self) -> Candle | None:
        return next((candle for candle in reversed(self.candles) if candle is not None), None)

    @property
    def low(self) -> float | None:
        """The lowest price; None without candles."""
        return min((candle.low for candle in self.candles if candle is not None), default=None)

    @property
    def high(self) -> float | None:
        """The highest price; None without candles."""
        return max((candle.high for candle in self.candles if candle is not None), default=None)


def build(
    candles: Sequence[Candle],
    gaps: Sequence[Window],
    *,
    interval: Interval,
    range_us: int,
    indicators: Sequence[Indicator] = (),
    now_us: int,
    until_us: int | None = None,
) -> ChartView:
    """The chart of the last ``range_us``, or of those before ``until_us``, which lies on the grid.

    ``candles`` may begin earlier, for the indicators to warm up.

    Where history begins inside the range the chart begins there too.
    """
    is_live = until_us is None
    seen_us = now_us if until_us is None else min(now_us, until_us - 1)
    end_us = interval.floor(seen_us) + interval.us
    start_us = max(interval.floor(seen_us - range_us), end_us - MOST_SHOWN * interval.us)
    notes = []
    begins_us = None
    inside = [candle for candle in candles if start_us <= candle.open_ts_us < end_us]
    if inside and gaps and gaps[0].start_us <= start_us:
        # A candle may lie in a gap: stored from ticks, or half covered.
        begin_us = interval.floor(min(gaps[0].end_us, inside[0].open_ts_us))
        if begin_us > start_us:
            start_us = begins_us = begin_us
    opens = tuple(range(start_us, end_us, interval.us))
    by_open = {candle.open_ts_us: i for i, candle in enumerate(candles)}
    places = [by_open.get(open_us) for open_us in opens]
    series = Series.of(candles)
    lines = []
    for indicator in indicators:
        for name, computed in indicator.compute(series).items():
            values = _from_the_first_shown(computed, places) if indicator.is_running else computed
            lines.append(
                Line(
                    f"{indicator} {name}".rstrip(),
                    tuple(None if i is None or np.isnan(values[i]) else float(values[i]) for i in places),
                    indicator=str(indicator),
                    has_pane=indicator.has_pane,
                    is_bars=name == "histogram",
                )
            )
        if indicator.is_running:
            notes.append(f"{indicator} starts at the first candle shown.")
        if inside and len(candles) < indicator.needs:
            notes.append(f"{indicator} needs {indicator.needs} candles; {len(candles)} are stored.")
    shown = tuple(None if i is None else candles[i] for i in places)
    missing = _missing(gaps, interval, start_us, min(end_us, seen_us + 1))
    return ChartView(
        interval=interval,
        opens_us=opens,
        candles=shown,
        lines=tuple(lines),
        missing=missing,
        quiet=_quiet(shown[:-1] if is_live else shown, missing),
        notes=tuple(notes),
        is_live=is_live,
        begins_us=begins_us,
    )


def _from_the_first_shown(values: Array, places: Sequence[int | None]) -> Array:
    """A running sum, 0 at the first candle shown: before, it depends on how many candles were read."""
    first = next((place for place in places if place is not None), None)
    return values if first is None or np.isnan(values[first]) else values - values[first]


def _quiet(
    candles: Sequence[Candle | None], missing: Sequence[tuple[int, int]]
) -> tuple[tuple[int, float], ...]:
    """The closed buckets without trades, outside missing ranges."""
    unknown = {place for first, last in missing for place in range(first, last + 1)}
    quiet = []
    close: float | None = None
    for place, candle in enumerate(candles):
        if candle is not None:
            close = candle.close
        elif close is not None and place not in unknown:
            quiet.append((place, close))
    return tuple(quiet)


def _missing(
    gaps: Sequence[Window], interval: Interval, start_us: int, end_us: int
) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for gap in gaps:
        first_us, last_us = max(gap.start_us, start_us), min(gap.end_us, end_us)
        if first_us >= last_us:
            continue
        first = (first_us - start_us) // interval.us
        last = (last_us - 1 - start_us) // interval.us
        if spans and first <= spans[-1][1] + 1:
            first = spans.pop()[0]
        spans.append((first, last))
    return tuple(spans)
