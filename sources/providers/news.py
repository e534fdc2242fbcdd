"""News feeds, RSS and Atom, fetched only when changed. ``sources.providers.feed_parser`` decodes them.

Documentation: feedparser.readthedocs.io ("ETag and Last-Modified Headers").
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from coinwatch.sentiment.scoring import SentimentSource
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience

NAME = SentimentSource.NEWS.value
LIMIT = RateLimit(capacity=2, per_second=1 / 30)
"""For each feed. Feeds are fetched every 15 minutes."""
LARGEST_FEED = 4 * 1024 * 1024
"""In bytes. Feeds with the whole text of their articles have up to 2 MB."""
LONGEST_VALIDATOR = 1_000


def feed_http(
    name: str, url: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client of one feed; ``scale`` is the setting ``rate_limit_scale``."""
    parts = urlsplit(url)
    return HttpSource(
        name,
        f"{parts.scheme}://{parts.netloc}",
        budget,
        # Feeds may share a host; in the simulator all do.
        RateLimit(LIMIT.capacity, LIMIT.per_second, scope=f"feed of {name}").scaled(scale),
        patience=patience or Patience(read_s=20, attempts=3),
        takes_markup=True,
        largest=LARGEST_FEED,
    )


def feed_request(url: str, etag: str | None = None, last_modified: str | None = None) -> RestRequest:
    """The request for a feed, conditional on a change since the answer with ``etag`` or ``last_modified``."""
    parts = urlsplit(url)
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return RestRequest(
        urlunsplit(("", "", parts.path or "/", parts.query, "")),
        headers={name: value for name, value in conditions.items() if value and _can_be_sent(value)},
    )


def _can_be_sent(validator: str) -> bool:
    """Whether a header that the server sent can be one of ours."""
    return validator.isascii() and len(validator) <= LONGEST_VALIDATOR
