"""Results of reads that combine the rows of several queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from coinwatch.alerts import Alert, Rule
from coinwatch.records import Candle
from coinwatch.windows import Window
from warehouse.candles import chart_reads
from warehouse.ops import budgets, health
from warehouse.trades import gap_reads


@dataclass(frozen=True)
class Statistics:
    """What moves slowly: the last day and the usual rate of every watched market."""

    day: tuple[chart_reads.DayStats, ...]
    rates: tuple[chart_reads.TradeRate, ...]
    streams: tuple[chart_reads.StreamState, ...]


@dataclass(frozen=True)
class History:
    """Candles of a window and the spans of it that we know nothing of."""

    candles: tuple[Candle, ...]
    gaps: tuple[Window, ...]


class Health(NamedTuple):
    """What runs and how it does; ``gaps`` of a week, the newest first."""

    streams: tuple[health.StreamRow, ...]
    services: tuple[health.ServiceRow, ...]
    gaps: tuple[gap_reads.GapRow, ...]
    calls: tuple[budgets.MonthOfCalls, ...]


class Alerts(NamedTuple):
    """The rules of one client and its last events, both newest first."""

    rules: tuple[Rule, ...]
    events: tuple[Alert, ...]
    unreadable: tuple[str, ...]
    """A sentence for each rule that cannot be read."""
