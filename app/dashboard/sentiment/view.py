"""What the Sentiment page shows, built from rows. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Literal, NamedTuple

import msgspec

from coinwatch.sentiment.scoring import Part, SentimentSource, parts_of
from warehouse.sentiment.reads import Article, DayOfSource, SourceAsked

RANGES = {"1mo": 30, "3mo": 90, "1y": 365, "all": 4_000}
"""Ranges in days."""

MARKET = "Whole market"
"""The choice of no single asset."""

NAMES = {
    SentimentSource.FEAR_GREED: "Fear & Greed",
    SentimentSource.GDELT: "GDELT",
    SentimentSource.NEWS: "News",
    SentimentSource.REDDIT: "Reddit",
    SentimentSource.TELEGRAM: "Telegram",
    SentimentSource.VOTES: "CoinGecko votes",
    SentimentSource.X: "X",
    SentimentSource.COMBINED: "Combined",
}
"""Display names, in the order of the page."""

GOOD, BAD = 0.15, -0.15
"""Scores from GOOD up are positive, from BAD down negative; those between are neutral."""

TONES = {"any": "All", "good": "Positive", "bad": "Negative", "neither": "Neutral"}
"""Tones of news as they stand in addresses, and their labels."""


def bases(latest: Iterable[DayOfSource]) -> tuple[DayOfSource, ...]:
    """The newest combined score of each asset, the highest first."""
    combined = [
        row for row in latest if row.source == SentimentSource.COMBINED and row.base and row.score is not None
    ]
    return tuple(sorted(combined, key=lambda row: (-(row.score or 0.0), row.base or "")))


def parts(combined: DayOfSource) -> tuple[Part, ...]:
    """The parts of a combined score, the heaviest first; empty when they are unknown."""
    try:
        return tuple(sorted(parts_of(combined.detail), key=lambda part: -part.weight))
    except msgspec.ValidationError:
        return ()


def of_tone(articles: Iterable[Article], tone: str) -> tuple[Article, ...]:
    """The articles of a tone, a key of ``TONES``."""
    return tuple(article for article in articles if tone in ("any", tone_of(article.score)))


def tone_of(score: float) -> str:
    """``good``, ``bad`` or ``neither``."""
    return "good" if score >= GOOD else "bad" if score <= BAD else "neither"


def name_of(source: str) -> str:
    """The display name of a source."""
    return NAMES[SentimentSource(source)] if source in set(SentimentSource) else source


class SourceState(NamedTuple):
    """Whether a source delivers."""

    source: SentimentSource
    state: Literal["on", "off", "pending", "stale"]
    turn_on: str
    """The settings that turn it on; empty where it is on."""
    last_poll: SourceAsked | None


STALE_DAYS = 2
"""A source whose newest day is older than this is stale."""


def source_states(
    polls: Iterable[SourceAsked], off: Mapping[SentimentSource, str], today: date
) -> tuple[SourceState, ...]:
    """The state of every source, in the order of ``NAMES``; those that are off come last.

    Args:
        polls: The last poll of each source, with the newest day it has data of.
        off: The sources that are not configured, with the settings that turn them on.
        today: The current UTC day.
    """
    last_polls = {poll.source: poll for poll in polls}
    states = []
    for source in NAMES:
        if source is SentimentSource.COMBINED:
            continue
        poll = last_polls.get(source.value)
        if source in off:
            states.append(SourceState(source, "off", off[source], poll))
        elif poll is None:
            states.append(SourceState(source, "pending", "", None))
        else:
            is_stale = poll.reported_day is None or (today - poll.reported_day).days > STALE_DAYS
            states.append(SourceState(source, "stale" if is_stale else "on", "", poll))
    return tuple(sorted(states, key=lambda state: state.state == "off"))
