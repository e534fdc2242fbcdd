"""alternative.me: the Crypto Fear & Greed Index, a number a day since 2018-02-01.

Documentation (alternative.me/crypto/fear-and-greed-index/, "API"): ``/fng/``; no key, 60 requests a
minute. The source has to be named next to its numbers.
"""

from __future__ import annotations

from datetime import date

import msgspec

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, Source, from_percent
from coinwatch.times import SECOND_US, utc_day
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import json_of, text, whole

NAME = "alternative"
LIMIT = RateLimit(capacity=5, per_second=0.5)
"""Half of what is allowed."""
_FIRST_US = 1_500_000_000 * SECOND_US


class Index(msgspec.Struct, frozen=True):
    """What could be read of an answer."""

    scores: list[DayScore]
    dropped: int
    """Days whose value or time is none."""


def alternative_http(
    root: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """The client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(NAME, root, budget, LIMIT.scaled(scale), patience=patience or Patience(read_s=20))


def index_request(days: int) -> RestRequest:
    """Ask for the newest ``days``, today included."""
    return RestRequest("/fng/", {"limit": str(days), "format": "json"})


def decode_index(body: bytes, today: date) -> Index:
    """``{"data":[{"value":"40","value_classification":"Fear","timestamp":"1551157200"}],
    "metadata":{"error":null}}``

    Days after ``today`` and values that are not from 0 to 100 are left out. Raises BadMessage.
    """
    answer = json_of(NAME, body)
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise BadMessage(NAME, f"an answer without days{_error_of(answer)}", body)
    scores = [_score(row, today) for row in rows]
    return Index(list({one.day: one for one in scores if one}.values()), scores.count(None))


def _score(row: object, today: date) -> DayScore | None:
    if not isinstance(row, dict):
        return None
    value, moment_us = whole(row.get("value")), _moment_us(row.get("timestamp"))
    if value is None or value > 100 or moment_us is None or utc_day(moment_us) > today:
        return None
    return DayScore(
        day=utc_day(moment_us),
        source=Source.FEAR_GREED,
        base=None,
        value=float(value),
        scale=Scale.PERCENT,
        score=from_percent(value),
        detail={"label": text(row.get("value_classification"))},
    )


def _moment_us(value: object) -> int | None:
    """Unix seconds, as text; they outgrow what ``whole`` reads."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12):
        return None
    moment_us = int(value) * SECOND_US
    return moment_us if moment_us > _FIRST_US else None


def _error_of(answer: object) -> str:
    metadata = answer.get("metadata") if isinstance(answer, dict) else None
    error = text(metadata.get("error")) if isinstance(metadata, dict) else None
    return f": {error}" if error else ""
