"""What the pages are told: the answers that hold more than the rows of one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from coinwatch.alerts import Alert, Rule
from coinwatch.records import Candle
from coinwatch.windows import Window
from warehouse import budgets, health, reads, reads_coverage, reads_gaps


@dataclass(frozen=True)
class Statistics:
    """What moves slowly: the last day and the usual rate of every watched market."""

    day: tuple[reads.DayStats, ...]
    rates: tuple[reads.TradeRate, ...]
    streams: tuple[reads.StreamState, ...]


@dataclass(frozen=True)
class History:
    """Candles of a window and the spans of it that we know nothing of."""

    candles: tuple[Candle, ...]
    gaps: tuple[Window, ...]


class Coverage(NamedTuple):
    """How complete the candles of ``window`` are."""

    window: Window
    days: tuple[reads_coverage.DayCoverage, ...]
    holes: tuple[reads_coverage.Hole, ...]


class Health(NamedTuple):
    """What runs and how it does; ``gaps`` of a week, the newest first."""

    streams: tuple[health.StreamRow, ...]
    services: tuple[health.ServiceRow, ...]
    gaps: tuple[reads_gaps.GapRow, ...]
    calls: tuple[budgets.MonthOfCalls, ...]


class Alerts(NamedTuple):
    """The rules of one client and its last events, both newest first."""

    rules: tuple[Rule, ...]
    events: tuple[Alert, ...]
    unreadable: tuple[str, ...]
    """What is to be said of the rules that cannot be read."""
