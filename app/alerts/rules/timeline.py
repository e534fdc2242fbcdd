"""Events played on a rule engine in the order of their times. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from operator import itemgetter
from typing import TypeAlias

from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.market_state import PriceSeries
from coinwatch.records import Trade

Event: TypeAlias = tuple[int, Callable[[int], None]]
"""When something other than a trade became known, and what applies it to the engine at a time."""


class Timeline:
    """Plays trades and other events on an engine; the clock runs up to each of them first.

    Catching up, late trades and backtests differ in what they read, not in how it is played.
    """

    def __init__(self, engine: RuleEngine, events: Iterable[Event] = ()) -> None:
        self._engine = engine
        self._events = sorted(events, key=itemgetter(0), reverse=True)

    @property
    def next_due_us(self) -> float:
        """When an event, or something due by the clock, comes next; infinite for never."""
        event_us = self._events[-1][0] if self._events else inf
        return min(event_us, self._engine.next_due_us)

    def advance(self, ts_us: float) -> None:
        """Apply the events up to ``ts_us``. At one time the clock comes first, trades come last."""
        while self._events and self._events[-1][0] <= ts_us:
            event_us, apply = self._events.pop()
            self._engine.pass_to(event_us)
            apply(event_us)
        if ts_us < inf:
            self._engine.pass_to(int(ts_us))

    def trade(self, series: PriceSeries, trade: Trade, seq: int | None = None) -> None:
        """Play the next trade, from commit ``seq``; None: from a commit of its own."""
        if self._events and self._events[-1][0] <= trade.ts_us:
            self.advance(trade.ts_us)
        self._engine.trade(series, trade, series.seq + 1 if seq is None else seq, trade.ts_us)

    def quiet_range(self, series: PriceSeries) -> tuple[float, float, float]:
        """The low and high price, and the time, that trades of ``series`` must not reach to be skipped."""
        falling, rising, until_us = self._engine.quiet_range(series)
        return falling, rising, min(until_us, self.next_due_us)

    def skip_to(self, series: PriceSeries, last: float, last_us: int) -> None:
        """Pass over trades within the quiet range, the last of them at ``last``."""
        self._engine.moved(series, last, last_us, series.seq + 1)
