"""What a backtest stands on, span by span. Pure: no I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from coinwatch.windows import Window, merge, subtract


class Basis(StrEnum):
    """What is known of a span of time, the best first."""

    TRADES = "trades"
    CANDLES = "candles"
    NOTHING = "nothing"


class CoveredSpan(msgspec.Struct, frozen=True):
    """A span of time and what a backtest read of it."""

    window: Window
    by: Basis


class CoverageSource(msgspec.Struct, frozen=True):
    """One thing a rule depends on: the trades of a market, the averages of a pair, the closes of candles."""

    trades: Sequence[Window]
    """Where every trade, or every average, is stored; ordered, apart."""
    candles: Sequence[Window] = ()
    """Where a candle, or the extremes of a minute, are; ordered, apart."""


def combined(window: Window, sources: Iterable[CoverageSource]) -> list[CoveredSpan]:
    """The spans of ``window`` in order, each by the weakest basis that any of ``sources`` has there.

    Empty where there are no sources.
    """
    known = list(sources)
    if not known:
        return []
    by_trades = subtract([window], [gap for source in known for gap in subtract([window], source.trades)])
    whole = [merge([*source.trades, *source.candles]) for source in known]
    covered = subtract([window], [gap for windows in whole for gap in subtract([window], windows)])
    by_candles = subtract(covered, by_trades)
    spans = [CoveredSpan(part, Basis.TRADES) for part in by_trades]
    spans += [CoveredSpan(part, Basis.CANDLES) for part in by_candles]
    spans += [CoveredSpan(part, Basis.NOTHING) for part in subtract([window], covered)]
    return sorted(spans, key=lambda span: span.window.start_us)


def holds(windows: Sequence[Window], ts_us: int) -> bool:
    """Whether one of ``windows``, ordered and apart, holds a time."""
    at = bisect_right(windows, ts_us, key=lambda window: window.start_us) - 1
    return at >= 0 and ts_us < windows[at].end_us


def whole_steps(windows: Iterable[Window], step_us: int) -> list[Window]:
    """The parts of ``windows`` that are whole steps since 1970."""
    parts = []
    for window in windows:
        start_us, end_us = -(-window.start_us // step_us) * step_us, window.end_us // step_us * step_us
        if start_us < end_us:
            parts.append(Window(start_us, end_us))
    return parts
