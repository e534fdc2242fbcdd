"""The HTML of sentiment: scores with their parts, sources, news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from markupsafe import Markup

from app.dashboard.sentiment.view import SourceState, name_of, parts, tone_of
from app.dashboard.ui.templates import render
from coinwatch.sentiment.scoring import WEIGHTS, Part, SentimentSource
from coinwatch.times import from_datetime
from warehouse.sentiment.reads import Article, DayOfSource, OutletRead

_DESCRIPTIONS = {
    SentimentSource.FEAR_GREED: "One number a day for the whole market, by alternative.me",
    SentimentSource.GDELT: "Tone of world news that names an asset",
    SentimentSource.NEWS: "Headlines that name an asset, scored by VADER",
    SentimentSource.REDDIT: "Posts that name an asset, scored by VADER",
    SentimentSource.TELEGRAM: "Messages of public channels that name an asset, scored by VADER",
    SentimentSource.VOTES: "Share of CoinGecko visitors who vote that an asset will rise",
    SentimentSource.X: "Number of posts that name an asset; a count without a score",
}
_KINDS = {"good": "ok", "bad": "bad", "neither": "off"}


class _Score(NamedTuple):
    value: float
    kind: str
    """Of its pill."""


def scores(latest: Sequence[DayOfSource]) -> Markup:
    """The newest score of each asset, with its parts."""
    rows = [
        {
            "base": row.base or "",
            "score": _score(row.score),
            "items": row.items,
            "parts": [_part(part) for part in parts(row)],
            "day": f"{row.day:%-d %b}",
        }
        for row in latest
    ]
    return render("sentiment/scores.html.j2", rows=rows)


def combined(row: DayOfSource, zone: tzinfo) -> Markup:
    """How a combined score is calculated: the score, weight and contribution of each part."""
    weighed = parts(row)
    return render(
        "sentiment/combined.html.j2",
        parts=[_part(part) for part in weighed],
        weight=sum(part.weight for part in weighed) or 1.0,
        score=_score(row.score),
        items=row.items,
        base=row.base or "",
        day=f"{row.day:%-d %b %Y}",
        computed_us=from_datetime(row.told_at),
        zone=zone,
    )


def sources(states: Sequence[SourceState], feeds: Sequence[OutletRead], zone: tzinfo, now_us: int) -> Markup:
    """The sources and news feeds with their last polls, and the settings of those that are off."""
    return render(
        "sentiment/sources.html.j2",
        sources=[_source(state) for state in states],
        feeds=[
            {
                "name": feed.outlet,
                "articles": feed.articles,
                "polled_us": from_datetime(feed.asked_at),
                "changed_us": from_datetime(feed.changed_at),
            }
            for feed in feeds
        ],
        zone=zone,
        now_us=now_us,
    )


def news(articles: Sequence[Article], now_us: int) -> Markup:
    """Headlines with their scores, each with a link to its article."""
    return render(
        "sentiment/news.html.j2",
        articles=[
            {
                "score": _score(article.score),
                "title": article.title,
                "url": article.url if _is_web(article.url) else None,
                "publisher": article.outlet,
                "copies": list(article.copies),
                "published_us": from_datetime(article.published_at),
                "bases": article.bases[:6],
            }
            for article in articles
        ],
        now_us=now_us,
    )


def _score(value: float | None) -> _Score:
    value = value or 0.0
    return _Score(value, _KINDS[tone_of(value)])


def _part(part: Part) -> dict[str, Any]:
    return {
        "name": name_of(part.source),
        "score": _score(part.score),
        "weight": part.weight,
        "items": part.items,
        "of_market": part.of_market,
    }


def _source(state: SourceState) -> dict[str, Any]:
    poll = state.last_poll
    newest = poll.reported_day if poll else None
    return {
        "name": name_of(state.source),
        "state": state.state,
        "description": _DESCRIPTIONS[state.source],
        "settings": state.turn_on.split(" and "),
        "weight": WEIGHTS.get(state.source),
        "assets": poll.bases if poll and poll.bases else None,
        "newest_day": f"{newest:%-d %b %Y}" if newest else None,
        "polled_us": from_datetime(poll.asked_at) if poll else None,
    }


def _is_web(address: str) -> bool:
    try:
        parts_of_url = urlsplit(address)
        return parts_of_url.scheme in ("http", "https") and bool(parts_of_url.hostname)
    except ValueError:
        return False
