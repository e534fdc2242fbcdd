"""GDELT: the average tone of worldwide news about an asset, by day.

Documentation: "GDELT DOC 2.0 API Debuts!" (blog.gdeltproject.org), mode ``timelinetone``; no key, one
request every five seconds. Answers take ten seconds and more, and under load GDELT refuses all requests
with 429. Errors of a query are plain text with status 200.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from math import isfinite

import msgspec

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, SentimentSource, from_tone
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, ErrorRules, HttpSource, Patience
from sources.providers.lenient_fields import json_of

NAME = "gdelt"
LIMIT = RateLimit(capacity=1, per_second=1 / 5.5)
HISTORY_DAYS = 89
"""GDELT serves about the last three months."""
MARKET_PHRASES = ("cryptocurrency", "crypto market")
_SHORTEST_PHRASE = 3
_MOST_PHRASES = 2
_PATIENCE = Patience(connect_s=10, read_s=60, total_s=90, attempts=2, first_wait_s=6.0)
"""Few attempts, because GDELT's refusals last for a while."""


class Tones(msgspec.Struct, frozen=True):
    """The decoded part of an answer."""

    scores: list[DayScore]
    dropped: int
    """The number of days with an invalid tone or date."""


def gdelt_http(
    root: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME, root, budget, LIMIT.scaled(scale), errors=ErrorRules(error_in), patience=patience or _PATIENCE
    )


def error_in(body: bytes) -> str | None:
    """``The specified phrase is too short.``: any body that is not a JSON object is an error message."""
    start = body.lstrip()[:1]
    return None if start in (b"{", b"") else body[:200].decode(errors="replace").strip()


def phrases_of(names: Iterable[str]) -> tuple[str, ...]:
    """The names usable as phrases, at most two: at least three letters long, without quotes."""
    plain = (" ".join(name.replace('"', " ").split()) for name in names)
    return tuple(dict.fromkeys(name for name in plain if len(name) >= _SHORTEST_PHRASE))[:_MOST_PHRASES]


def tone_request(phrases: Collection[str]) -> RestRequest:
    """The request for the daily tone of English articles with any of ``phrases``, over three months.

    An asset's articles must also have a word such as "crypto", because "polkadot" alone is a pattern.
    """
    quoted = [f'"{phrase}"' for phrase in phrases]
    of_any = quoted[0] if len(quoted) == 1 else f"({' OR '.join(quoted)})"
    about = "" if tuple(phrases) == MARKET_PHRASES else " (crypto OR cryptocurrency OR token)"
    return RestRequest(
        "/api/v2/doc/doc",
        {
            "query": f"{of_any}{about} sourcelang:english",
            "mode": "timelinetone",
            "format": "json",
            "timespan": "3months",
        },
    )


def decode_tones(body: bytes, base: str | None, today: date) -> Tones:
    """``{"query_details":{…},"timeline":[{"series":"Average Tone",
    "data":[{"date":"20260821T000000Z","value":-0.7}]}]}``; ``{}`` when there are no articles.

    Raises BadMessage.
    """
    answer = json_of(NAME, body)
    timeline = answer.get("timeline", []) if isinstance(answer, dict) else None
    if not isinstance(timeline, list):
        raise BadMessage(NAME, "the answer has no timeline", body)
    rows = [row for series in timeline for row in _rows(series)]
    scores = [_score(row, base, today) for row in rows]
    return Tones(list({score.day: score for score in scores if score}.values()), scores.count(None))


def _rows(series: object) -> list[object]:
    data = series.get("data") if isinstance(series, dict) and series.get("series") == "Average Tone" else None
    return data if isinstance(data, list) else []


def _score(row: object, base: str | None, today: date) -> DayScore | None:
    if not isinstance(row, dict):
        return None
    day, tone = _day(row.get("date")), row.get("value")
    if isinstance(tone, bool) or not isinstance(tone, int | float) or not isfinite(tone) or abs(tone) > 100:
        return None
    if day is None or day > today:
        return None
    return DayScore(
        day=day,
        source=SentimentSource.GDELT,
        base=base,
        value=float(tone),
        scale=Scale.TONE,
        score=from_tone(tone),
    )


def _day(value: object) -> date | None:
    try:
        moment = datetime.strptime(value, "%Y%m%dT%H%M%S%z") if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.date() if moment and moment.year >= 2017 else None
