"""The Fear & Greed index as a gauge, which the Overview and the Sentiment page show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from app.dashboard.ui.templates import render
from coinwatch.sentiment.scoring import SentimentSource
from warehouse.sentiment.reads import DayOfSource

LEVELS = ((25, "extreme fear"), (45, "fear"), (56, "neutral"), (76, "greed"))
"""The index is at a level below its limit, of 100; from the last limit on at ``EXTREME_GREED``."""

EXTREME_GREED = "extreme greed"


@dataclass(frozen=True)
class Gauge:
    """The index of the newest known day."""

    value: float
    """0 to 100."""
    level: str
    day: date
    change: float | None
    """From the day before, in points; None when that day is missing."""

    @property
    def angle(self) -> float:
        """Of the needle, in degrees: -90 at 0, 90 at 100."""
        return self.value * 1.8 - 90


def level(value: float) -> str:
    """The name of a value: ``extreme fear`` to ``extreme greed``."""
    return next((name for limit, name in LEVELS if value < limit), EXTREME_GREED)


def newest(days: Iterable[DayOfSource]) -> Gauge | None:
    """The newest Fear & Greed index among ``days``; None without any."""
    known = sorted((row for row in days if row.source == SentimentSource.FEAR_GREED), key=lambda row: row.day)
    if not known:
        return None
    last = known[-1]
    before = next((row for row in reversed(known[:-1]) if (last.day - row.day).days == 1), None)
    value = min(100.0, max(0.0, last.value))
    return Gauge(value, level(value), last.day, last.value - before.value if before else None)


def draw(gauge: Gauge, *, link: str = "") -> Markup:
    """A half circle with a needle; ``link`` makes it a link to that page."""
    return render("ui/fear_greed.html.j2", gauge=gauge, day=f"{gauge.day:%-d %b}", link=link)
