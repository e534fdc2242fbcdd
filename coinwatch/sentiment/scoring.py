"""Sentiment scores by day on one scale, and their combination into one score. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from math import fsum
from typing import Any, Final

import msgspec
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from coinwatch.sentiment.articles import LONGEST_TITLE


class SentimentSource(StrEnum):
    """A source of sentiment scores."""

    FEAR_GREED = "fear_greed"
    GDELT = "gdelt"
    NEWS = "news"
    REDDIT = "reddit"
    TELEGRAM = "telegram"
    VOTES = "coingecko_votes"
    X = "x"
    COMBINED = "combined"


TEXT_SOURCES: Final = (SentimentSource.NEWS, SentimentSource.REDDIT, SentimentSource.TELEGRAM)
"""Sources whose texts Coinwatch scores itself."""


class Scale(StrEnum):
    """The scale of a source's own values."""

    PERCENT = "0..100"
    TONE = "-100..100"
    UNIT = "-1..1"
    POSTS = "posts"


class DayScore(msgspec.Struct, frozen=True, kw_only=True):
    """A source's score of an asset, or of the whole market, on a UTC day."""

    day: date
    source: SentimentSource
    base: str | None
    """Ticker of the asset, such as BTC; None for the whole market."""
    value: float | None
    """The source's own value, on its ``scale``; None when it answered without one."""
    scale: Scale
    score: float | None
    """From -1 to 1; None where the source only counts, or has no value."""
    items: int | None = None
    """The number of texts or votes behind it, where known."""
    detail: Mapping[str, Any] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One source within a combined score."""

    source: SentimentSource
    score: float
    weight: float
    items: int | None
    of_market: bool
    """Whether it scores the whole market rather than this asset."""


GDELT_REACH: Final = 10.0
"""Tones range from -100 to 100 but, by GDELT's documentation, are mostly between -10 and 10."""
WEIGHTS: Final[Mapping[SentimentSource, float]] = {
    SentimentSource.NEWS: 3.0,
    SentimentSource.GDELT: 2.0,
    SentimentSource.FEAR_GREED: 2.0,
    SentimentSource.REDDIT: 1.5,
    SentimentSource.TELEGRAM: 1.0,
    SentimentSource.VOTES: 1.0,
}
"""Sources with linked texts weigh most; votes, which are nearly always positive, least. X only counts."""
OF_MARKET: Final = 0.5
"""The factor on the weight of a score of the whole market within the score of one asset."""
FEW_ITEMS: Final = 5
"""With this many texts a day a source has half of its weight; with ten times as many, nearly all of it."""


def from_percent(value: float) -> float:
    """Convert 0..100, where 50 is neutral, to -1..1."""
    return _limited(value / 50 - 1)


def from_tone(tone: float) -> float:
    """Convert GDELT's average tone to -1..1."""
    return _limited(tone / GDELT_REACH)


def combine(
    day: date, base: str | None, own: Iterable[DayScore], market: Iterable[DayScore] = ()
) -> DayScore | None:
    """Combine the scores of an asset and of the whole market into one, stored with its parts and weights.

    Args:
        day: The UTC day of all scores.
        base: The asset's ticker; None for the whole market.
        own: Scores of the asset itself, in any order.
        market: Scores of the whole market; only Fear & Greed counts.

    Returns:
        The combined score, or None when there is no score of the asset itself.
    """
    parts = [
        _part(score, of_market=False) for score in own if score.score is not None and score.source in WEIGHTS
    ]
    if not parts:
        return None
    has_own = {part.source for part in parts}
    parts += [
        _part(score, of_market=True)
        for score in market
        if score.source == SentimentSource.FEAR_GREED
        and score.score is not None
        and score.source not in has_own
    ]
    parts.sort(key=lambda part: part.source)
    combined = score_of(parts)
    return DayScore(
        day=day,
        source=SentimentSource.COMBINED,
        base=base,
        value=combined,
        scale=Scale.UNIT,
        score=combined,
        items=sum(part.items or 0 for part in parts if not part.of_market) or None,
        detail={"parts": [msgspec.to_builtins(part) for part in parts]},
    )


def score_of(parts: Collection[Part]) -> float:
    """The weighted mean of the parts; recomputes a stored combined score."""
    mean = fsum(part.score * part.weight for part in parts) / fsum(part.weight for part in parts)
    return _limited(mean)


def parts_of(detail: Mapping[str, Any]) -> list[Part]:
    """Parse the parts stored with a combined score. Raises msgspec.ValidationError."""
    return msgspec.convert(detail.get("parts", []), list[Part])


def _part(score: DayScore, *, of_market: bool) -> Part:
    weight = WEIGHTS[score.source] * (OF_MARKET if of_market else 1.0)
    if score.source in TEXT_SOURCES and score.items:
        weight *= score.items / (score.items + FEW_ITEMS)
    return Part(
        source=score.source,
        score=round(score.score or 0.0, 6),
        weight=round(weight, 6),
        items=score.items,
        of_market=of_market,
    )


MARKET_WORDS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("bullish", "bull-run", "rally", "rallies", "rallied", "rallying"), 2.0),
    **dict.fromkeys(("surge", "surges", "surged", "surging", "soar", "soars", "soared", "soaring"), 2.2),
    **dict.fromkeys(("rebound", "rebounds", "rebounded", "inflow", "inflows", "outperforms", "ath"), 1.5),
    **dict.fromkeys(("uptrend", "breakout", "adoption", "all-time-high"), 1.3),
    **dict.fromkeys(("jumps", "jumped", "climbs", "climbed", "rises", "upgrade", "hodl"), 1.1),
    **dict.fromkeys(("bearish", "tumble", "tumbles", "tumbled", "slump", "slumps", "slumped"), -2.0),
    **dict.fromkeys(("plunge", "plunges", "plunged", "plummet", "plummets", "plummeted", "crashes"), -2.4),
    **dict.fromkeys(("selloff", "sell-off", "capitulation", "downtrend", "dump", "dumps", "dumped"), -1.8),
    **dict.fromkeys(("outflow", "outflows", "dips", "slides", "falls", "sinks", "drops", "dropped"), -1.2),
    **dict.fromkeys(("liquidated", "liquidation", "liquidations", "depeg", "depegs", "depegged"), -1.6),
    **dict.fromkeys(("hack", "hacks", "exploit", "exploited", "exploits", "breach", "drained"), -2.4),
    **dict.fromkeys(("rugpull", "rug-pull", "ponzi", "insolvent", "insolvency", "bankruptcy"), -3.0),
    **dict.fromkeys(
        ("delist", "delists", "delisted", "delisting", "sues", "sued", "outage", "outages"), -1.5
    ),
    **dict.fromkeys(("fud", "bans", "banned", "probe"), -1.3),
    # Neutral terms of trading that the lexicon scores as positive or negative.
    **dict.fromkeys(
        ("block", "blocks", "share", "shares", "trust", "interest", "security", "securities"), 0.0
    ),
    **dict.fromkeys(("treasure", "proof", "proofs", "stake", "stakes", "gas", "play", "gainers"), 0.0),
}
"""Valences from -4 to 4 that correct VADER's lexicon of social media in 2014: it lacks "rally" and
"outflow", takes "hack" as neutral and "exploit" as harmless, and scores "block", "share" and "trust"."""
MODEL: Final = f"vader {version('vaderSentiment')}, market words 1"
"""Stored with each score. Increase the number whenever MARKET_WORDS changes."""


def score_text(text: str) -> float:
    """Score a text from -1 to 1: VADER's compound score with ``MARKET_WORDS``.

    Only the first LONGEST_TITLE characters count: VADER takes the square of the number of words.
    """
    return float(_analyzer().polarity_scores(text[:LONGEST_TITLE])["compound"])


@cache
def _analyzer() -> Any:
    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(MARKET_WORDS)
    return analyzer


def _limited(score: float) -> float:
    return round(max(-1.0, min(1.0, score)), 6)
