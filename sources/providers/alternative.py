"""alternative.me: the Crypto Fear & Greed Index, one value a day since 2018-02-01.

Documentation (alternative.me/crypto/fear-and-greed-index/, "API"): ``/fng/``; no key, 60 requests a
minute. Attribution next to the numbers is required.
"""

from __future__ import annotations

from datetime import date

import msgspec

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, SentimentSource, from_percent
from coinwatch.times import SECOND_US, utc_day
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import json_of, text, whole

NAME = "alternative"
LIMIT = RateLimit(capacity=5, per_second=0.5)
"""Half of the documented limit."""
_FIRST_US = 1_500_000_000 * SECOND_US


class Index(msgspec.Struct, frozen=True):
    """The decoded part of an answer."""

    scores: list[DayScore]
    dropped: int
    """The number of days with an invalid value or time."""


def alternative_http(
    root: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(NAME, root, budget, LIMIT.scaled(scale), patience=patience or Patience(read_s=20))


def index_request(days: int) -> RestRequest:
    """The request for the newest ``days``, today included."""
    return RestRequest("/fng/", {"limit": str(days), "format": "json"})


def decode_index(body: bytes, today: date) -> Index:
    """``{"data":[{"value":"40","value_classification":"Fear","timestamp":"1551157200"}],
    "metadata":{"error":null}}``

    Days after ``today`` and values outside 0 to 100 are dropped. Raises BadMessage.
    """
    answer = json_of(NAME, body)
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise BadMessage(NAME, f"the answer has no days{_error_of(answer)}", body)
    scores = [_score(row, today) for row in rows]
    return Index(list({score.day: score for score in scores if score}.values()), scores.count(None))


def _score(row: object, today: date) -> DayScore | None:
    if not isinstance(row, dict):
        return None
    value, moment_us = whole(row.get("value")), _moment_us(row.get("timestamp"))
    if value is None or value > 100 or moment_us is None or utc_day(moment_us) > today:
        return None
    return DayScore(
        day=utc_day(moment_us),
        source=SentimentSource.FEAR_GREED,
        base=None,
        value=float(value),
        scale=Scale.PERCENT,
        score=from_percent(value),
        detail={"label": text(row.get("value_classification"))},
    )


def _moment_us(value: object) -> int | None:
    """Convert Unix seconds, as text; they exceed the range of ``whole``."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12):
        return None
    moment_us = int(value) * SECOND_US
    return moment_us if moment_us > _FIRST_US else None


def _error_of(answer: object) -> str:
    metadata = answer.get("metadata") if isinstance(answer, dict) else None
    error = text(metadata.get("error")) if isinstance(metadata, dict) else None
    return f": {error}" if error else ""
