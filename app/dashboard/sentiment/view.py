"""What the Sentiment page shows, built from rows. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import msgspec

from coinwatch.sentiment.scoring import Part, Source, parts_of
from warehouse.sentiment.reads import Article, DayOfSource, SourceAsked

RANGES = {"1mo": 30, "3mo": 90, "1y": 365, "all": 4_000}
"""Days a viewer can choose."""

MARKET = "Whole market"
"""What is chosen when no asset is."""

MOODS = ((25, "extreme fear"), (45, "fear"), (56, "neutral"), (76, "greed"))
"""Below each, of 100, the index is in this mood; from the last on in EXTREME_GREED."""

EXTREME_GREED = "extreme greed"

NAMES = {
    Source.FEAR_GREED: "Fear & Greed",
    Source.GDELT: "GDELT",
    Source.NEWS: "News",
    Source.REDDIT: "Reddit",
    Source.TELEGRAM: "Telegram",
    Source.VOTES: "CoinGecko votes",
    Source.X: "X",
    Source.COMBINED: "Combined",
}


GOOD, BAD = 0.15, -0.15
"""Scores between are neither."""

TONES = ("any", "good", "bad", "neither")


@dataclass(frozen=True)
class Gauge:
    """Fear & Greed of the newest day that is told."""

    value: float
    """0 to 100."""
    mood: str
    day: date
    change: float | None
    """Since the day before, in points."""


def mood(value: float) -> str:
    """In words: ``extreme fear`` to ``extreme greed``."""
    return next((name for limit, name in MOODS if value < limit), EXTREME_GREED)


def gauge(days: Iterable[DayOfSource]) -> Gauge | None:
    """The newest Fear & Greed among ``days``; None when it is not told."""
    told = sorted((one for one in days if one.source == Source.FEAR_GREED), key=lambda one: one.day)
    if not told:
        return None
    newest = told[-1]
    before = next((one for one in reversed(told[:-1]) if (newest.day - one.day).days == 1), None)
    value = min(100.0, max(0.0, newest.value))
    return Gauge(value, mood(value), newest.day, newest.value - before.value if before else None)


def bases(latest: Iterable[DayOfSource]) -> tuple[DayOfSource, ...]:
    """The newest combined score of each asset, the best first."""
    found = [one for one in latest if one.source == Source.COMBINED and one.base and one.score is not None]
    return tuple(sorted(found, key=lambda one: (-(one.score or 0.0), one.base or "")))


def parts(combined: DayOfSource) -> tuple[Part, ...]:
    """What a combined score is made of, the heaviest first; nothing where that is not told."""
    try:
        return tuple(sorted(parts_of(combined.detail), key=lambda part: -part.weight))
    except msgspec.ValidationError:
        return ()


def of_tone(articles: Iterable[Article], tone: str) -> tuple[Article, ...]:
    """Those of one of ``TONES``."""

    def suits(score: float) -> bool:
        return tone == "any" or tone == ("good" if score >= GOOD else "bad" if score <= BAD else "neither")

    return tuple(one for one in articles if suits(one.score))


def name_of(source: str) -> str:
    """A source as people call it."""
    return NAMES[Source(source)] if source in set(Source) else source


class SourceState(NamedTuple):
    """How a source does."""

    source: Source
    kind: Literal["on", "off", "waiting", "silent"]
    turn_on: str
    """The settings that would turn it on; empty where it is on."""
    asked: SourceAsked | None


SILENT_DAYS = 2
"""A source that told nothing of so many days before today has fallen silent."""


def states(asked: Iterable[SourceAsked], off: Mapping[Source, str], today: date) -> tuple[SourceState, ...]:
    """Every source there is, as in ``NAMES``; those that are off at the end."""
    known = {one.source: one for one in asked}
    found = []
    for source in NAMES:
        if source is Source.COMBINED:
            continue
        one = known.get(source.value)
        if source in off:
            found.append(SourceState(source, "off", off[source], one))
        elif one is None:
            found.append(SourceState(source, "waiting", "", None))
        else:
            is_silent = one.told_day is None or (today - one.told_day).days > SILENT_DAYS
            found.append(SourceState(source, "silent" if is_silent else "on", "", one))
    return tuple(sorted(found, key=lambda state: state.kind == "off"))
