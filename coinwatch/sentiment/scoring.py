"""What sources of sentiment say of a day, on one scale; and how they become one score. Pure."""

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


class Source(StrEnum):
    """Who tells a sentiment."""

    FEAR_GREED = "fear_greed"
    GDELT = "gdelt"
    NEWS = "news"
    REDDIT = "reddit"
    TELEGRAM = "telegram"
    VOTES = "coingecko_votes"
    X = "x"
    COMBINED = "combined"


TEXT_SOURCES: Final = (Source.NEWS, Source.REDDIT, Source.TELEGRAM)
"""Those whose texts we score ourselves."""


class Scale(StrEnum):
    """What a source's own values mean."""

    PERCENT = "0..100"
    TONE = "-100..100"
    UNIT = "-1..1"
    POSTS = "posts"


class DayScore(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of an asset, or of the whole market, on a day (UTC)."""

    day: date
    source: Source
    base: str | None
    """Ticker of the asset, BTC; None: the whole market."""
    value: float | None
    """As the source tells it, on its ``scale``; None: it was asked, and had nothing to tell."""
    scale: Scale
    score: float | None
    """From -1 to 1; None where the source only counts, or told nothing."""
    items: int | None = None
    """How many texts or votes it is made of, where that is known."""
    detail: Mapping[str, Any] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One source within a combined score."""

    source: Source
    score: float
    weight: float
    items: int | None
    of_market: bool
    """It speaks of the whole market, not of this asset."""


GDELT_REACH: Final = 10.0
"""Tones are from -100 to 100 and, by GDELT's documentation, commonly between -10 and 10."""
WEIGHTS: Final[Mapping[Source, float]] = {
    Source.NEWS: 3.0,
    Source.GDELT: 2.0,
    Source.FEAR_GREED: 2.0,
    Source.REDDIT: 1.5,
    Source.TELEGRAM: 1.0,
    Source.VOTES: 1.0,
}
"""What is linked to its texts weighs most; votes, which nearly always praise, least. X only counts."""
OF_MARKET: Final = 0.5
"""The weight of what is said of the whole market, within the score of one asset, is so much of its own."""
FEW_ITEMS: Final = 5
"""A source with so many texts on a day has half of its weight; with ten times as many nearly all of it."""


def from_percent(value: float) -> float:
    """0..100, of which 50 is neutral, as -1..1."""
    return _limited(value / 50 - 1)


def from_tone(tone: float) -> float:
    """GDELT's average tone as -1..1."""
    return _limited(tone / GDELT_REACH)


def combine(
    day: date, base: str | None, own: Iterable[DayScore], market: Iterable[DayScore] = ()
) -> DayScore | None:
    """One score of what sources say of an asset and of the whole market, with its parts and weights.

    None when no source speaks of the asset itself. Whatever the order, the parts are sorted.
    """
    parts = [_part(one, of_market=False) for one in own if one.score is not None and one.source in WEIGHTS]
    if not parts:
        return None
    has_own = {part.source for part in parts}
    parts += [
        _part(one, of_market=True)
        for one in market
        if one.score is not None and one.source == Source.FEAR_GREED and one.source not in has_own
    ]
    parts.sort(key=lambda part: part.source)
    score = score_of(parts)
    return DayScore(
        day=day,
        source=Source.COMBINED,
        base=base,
        value=score,
        scale=Scale.UNIT,
        score=score,
        items=sum(part.items or 0 for part in parts if not part.of_market) or None,
        detail={"parts": [msgspec.to_builtins(part) for part in parts]},
    )


def score_of(parts: Collection[Part]) -> float:
    """The mean of the parts by their weights; what a stored combined score can be recomputed with."""
    mean = fsum(part.score * part.weight for part in parts) / fsum(part.weight for part in parts)
    return _limited(mean)


def parts_of(detail: Mapping[str, Any]) -> list[Part]:
    """The parts that are stored with a combined score. Raises msgspec.ValidationError."""
    return msgspec.convert(detail.get("parts", []), list[Part])


def _part(one: DayScore, *, of_market: bool) -> Part:
    weight = WEIGHTS[one.source] * (OF_MARKET if of_market else 1.0)
    if one.source in TEXT_SOURCES and one.items:
        weight *= one.items / (one.items + FEW_ITEMS)
    return Part(
        source=one.source,
        score=round(one.score or 0.0, 6),
        weight=round(weight, 6),
        items=one.items,
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
    # Terms of the trade, which the lexicon takes for praise or blame.
    **dict.fromkeys(
        ("block", "blocks", "share", "shares", "trust", "interest", "security", "securities"), 0.0
    ),
    **dict.fromkeys(("treasure", "proof", "proofs", "stake", "stakes", "gas", "play", "gainers"), 0.0),
}
"""Valences from -4 to 4. The lexicon is of social media in 2014: it knows neither a rally nor an outflow,
takes a hack for nothing and an exploit for a trifle; and a block, a share and a trust for feelings."""
MODEL: Final = f"vader {version('vaderSentiment')}, market words 1"
"""Stored with each score. The number after the words changes with them."""


def score_text(text: str) -> float:
    """From -1 to 1: VADER's compound score, with ``MARKET_WORDS``."""
    return float(_analyzer().polarity_scores(text)["compound"])


@cache
def _analyzer() -> Any:
    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(MARKET_WORDS)
    return analyzer


def _limited(score: float) -> float:
    return round(max(-1.0, min(1.0, score)), 6)
