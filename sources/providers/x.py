"""X: the number of posts that mention an asset, by day. Off unless a token is set: requests cost money.

Documentation (docs.x.com): "Get count of recent Posts", ``/2/tweets/counts/recent``, the last seven
days; 300 requests in 15 minutes per app.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from coinwatch.errors import BadMessage
from coinwatch.sentiment.scoring import DayScore, Scale, SentimentSource
from coinwatch.times import utc_day
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, ErrorRules, HttpSource, Patience
from sources.providers.lenient_fields import json_of, moment_us, text, whole

NAME = SentimentSource.X.value
LIMIT = RateLimit(capacity=5, per_second=300 / 900 / 2)
HISTORY_DAYS = 7


def x_http(
    root: str, budget: Budget, *, token: str, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME,
        root,
        budget,
        LIMIT.scaled(scale),
        errors=ErrorRules(error_in),
        patience=patience or Patience(read_s=20, attempts=3),
        headers={"Authorization": f"Bearer {token}"},
    )


def error_in(body: bytes) -> str | None:
    """The error in ``{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}``."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or "data" in answer or "meta" in answer:
        return None
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return text(first.get("message")) or text(answer.get("detail")) or text(answer.get("title"))


def counts_request(base: str, name: str) -> RestRequest:
    """The request for the daily number of posts about an asset. Cashtags would need a higher plan."""
    plain = name.replace('"', " ").strip()
    return RestRequest(
        "/2/tweets/counts/recent",
        {"query": f'("{plain}" OR #{base}) -is:retweet', "granularity": "day"},
    )


def decode_counts(body: bytes, base: str, today: date) -> list[DayScore]:
    """``{"data":[{"start":"2026-11-20T00:00:00.000Z","end":"2026-11-21T00:00:00.000Z",
    "tweet_count":4711}],"meta":{"total_tweet_count":4711}}``

    The oldest day is left out, because it is incomplete. Raises BadMessage.
    """
    answer = json_of(NAME, body)
    rows = answer.get("data", []) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise BadMessage(NAME, "the answer has no counts", body)
    scores = [_score(row, base, today) for row in rows]
    return list({score.day: score for score in scores if score}.values())


def _score(row: object, base: str, today: date) -> DayScore | None:
    if not isinstance(row, dict):
        return None
    start_us, posts = moment_us(row.get("start")), whole(row.get("tweet_count"))
    if start_us is None or posts is None:
        return None
    day = utc_day(start_us)
    if not (today - timedelta(days=HISTORY_DAYS) <= day <= today) or not _at_midnight(row["start"]):
        return None
    return DayScore(
        day=day,
        source=SentimentSource.X,
        base=base,
        value=float(posts),
        scale=Scale.POSTS,
        score=None,
        items=posts,
    )


def _at_midnight(start: str) -> bool:
    moment = datetime.fromisoformat(start)
    return (moment.hour, moment.minute, moment.second) == (0, 0, 0)
