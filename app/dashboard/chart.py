"""What the Chart shows, built from candles. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import talib
from msgspec.structs import replace

from app.dashboard import formats
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.records import Candle
from coinwatch.times import DAY_US, to_datetime
from coinwatch.windows import Window
from warehouse.reads import LastTrade

RANGES = {
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
MOST_SHOWN = 1_500
"""No chart holds more candles: a coarser interval is used instead."""

COMFORTABLE = 750
"""``auto`` picks the finest interval with at most this many candles."""

SHORTEST, LONGEST = 2, 300
_OVERLAY = re.compile(r"(SMA|EMA)[\s_-]*(\d{1,4})", re.IGNORECASE)


@dataclass(frozen=True)
class Overlay:
    """A moving average of closes."""

    kind: str
    """SMA or EMA."""
    length: int

    def __str__(self) -> str:
        return f"{self.kind} {self.length}"

    @property
    def warm_up(self) -> int:
        """Candles needed before the first shown; after four lengths an EMA keeps 0.03 % of its start."""
        return self.length - 1 if self.kind == "SMA" else 4 * self.length

    def values(self, candles: Sequence[Candle]) -> list[float | None]:
        """One value per candle; None where there are too few candles before it."""
        if len(candles) < self.length:
            return [None] * len(candles)
        closes = np.array([candle.close for candle in candles], dtype=np.float64)
        line = getattr(talib, self.kind)(closes, timeperiod=self.length)
        return [None if np.isnan(value) else float(value) for value in line]


def parse_overlay(text: str) -> Overlay:
    """``SMA 20``, ``ema50``. Raises CoinwatchError saying what would be right."""
    match = _OVERLAY.fullmatch(text.strip())
    if match is None:
        raise CoinwatchError(f"{text[:30]!r} is not an overlay; write it like SMA 20 or EMA 50")
    length = int(match[2])
    if not SHORTEST <= length <= LONGEST:
        raise CoinwatchError(f"{text[:30]!r}: a length is between {SHORTEST} and {LONGEST} candles")
    return Overlay(match[1].upper(), length)


def fitting(chosen: str, range_us: int) -> tuple[Interval, str]:
    """The interval to draw for a choice (``auto`` or an interval), and a word when it is another one."""
    if chosen != AUTO:
        interval = Interval(chosen)
        if range_us <= MOST_SHOWN * interval.us:
            return interval, ""
    limit = COMFORTABLE if chosen == AUTO else MOST_SHOWN
    fitted = next((one for one in Interval if range_us <= limit * one.us), Interval.D1)
    if chosen == AUTO:
        return fitted, ""
    count = range_us // Interval(chosen).us
    return fitted, f"{count:,} candles of {chosen} are too many for one chart; shown as {fitted}."


def splice(history: Sequence[Candle], tail: Sequence[Candle]) -> list[Candle]:
    """``history`` with its end replaced by the newer ``tail``."""
    if not tail:
        return list(history)
    return [candle for candle in history if candle.open_ts_us < tail[0].open_ts_us] + list(tail)


def reach(candles: Sequence[Candle], trade: LastTrade | None) -> list[Candle]:
    """``candles`` with the last one closing at ``trade``, so that chart and headline show one price."""
    if not candles or trade is None:
        return list(candles)
    last = candles[-1]
    if not last.open_ts_us <= trade.ts_us < last.open_ts_us + last.interval.us:
        return list(candles)
    reached = replace(
        last, close=trade.price, high=max(last.high, trade.price), low=min(last.low, trade.price)
    )
    return [*candles[:-1], reached]


@dataclass(frozen=True)
class Line:
    """An overlay, aligned with the buckets of its chart."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class ChartView:
    """Candles on an unbroken grid of time; a bucket without a trade holds None."""

    interval: Interval
    opens_us: tuple[int, ...]
    candles: tuple[Candle | None, ...]
    lines: tuple[Line, ...]
    missing: tuple[tuple[int, int], ...]
    """First and last bucket of each span of which something is not known."""
    notes: tuple[str, ...]

    @property
    def last(self) -> Candle | None:
        return next((candle for candle in reversed(self.candles) if candle is not None), None)


def build(
    candles: Sequence[Candle],
    gaps: Sequence[Window],
    *,
    interval: Interval,
    range_us: int,
    overlays: Sequence[Overlay] = (),
    now_us: int,
) -> ChartView:
    """The chart of the last ``range_us``; ``candles`` may begin earlier, for the overlays to warm up.

    Where history begins inside the range the chart begins there too, and says so.
    """
    end_us = interval.floor(now_us) + interval.us
    start_us = max(interval.floor(now_us - range_us), end_us - MOST_SHOWN * interval.us)
    notes = []
    inside = [candle for candle in candles if start_us <= candle.open_ts_us < end_us]
    if inside and gaps and gaps[0].start_us <= start_us:
        # A candle may lie in a gap: stored from ticks, or half covered.
        begin_us = interval.floor(min(gaps[0].end_us, inside[0].open_ts_us))
        if begin_us > start_us:
            notes.append(f"Stored history begins {formats.moment(begin_us)}.")
            start_us = begin_us
    opens = tuple(range(start_us, end_us, interval.us))
    by_open = {candle.open_ts_us: i for i, candle in enumerate(candles)}
    places = [by_open.get(open_us) for open_us in opens]
    lines = []
    for overlay in overlays:
        values = overlay.values(candles)
        lines.append(Line(str(overlay), tuple(None if i is None else values[i] for i in places)))
        if inside and all(value is None for value in lines[-1].values):
            notes.append(f"{overlay} needs {overlay.length} candles; {len(candles)} are stored.")
    return ChartView(
        interval=interval,
        opens_us=opens,
        candles=tuple(None if i is None else candles[i] for i in places),
        lines=tuple(lines),
        missing=_missing(gaps, interval, start_us, min(end_us, now_us)),
        notes=tuple(notes),
    )


def label(open_us: int) -> str:
    """A bucket's name on the axis: ``2026-11-21 12:35``, UTC."""
    return f"{to_datetime(open_us):%Y-%m-%d %H:%M}"


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
