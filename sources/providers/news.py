"""News feeds, RSS and Atom, fetched only when changed and parsed by feedparser.

Documentation: feedparser.readthedocs.io ("Parsing a feed from a string", "ETag and Last-Modified
Headers"). ``HttpSource`` sends the requests; feedparser opens no connections.
"""

from __future__ import annotations

import calendar
import html
import io
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from xml.sax import SAXException

import feedparser
import msgspec

from coinwatch.errors import BadMessage
from coinwatch.sentiment.articles import LONGEST_TITLE, Text, canonical_url
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import DAY_US, SECOND_US, from_datetime
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import text

NAME = SentimentSource.NEWS.value
LIMIT = RateLimit(capacity=2, per_second=1 / 30)
"""For each feed. Feeds are fetched every 15 minutes."""
MOST_ENTRIES = 500
_FIRST_US = from_datetime(datetime(2009, 1, 3, tzinfo=UTC))
_TAGS = re.compile(r"</?[a-zA-Z][^>]*>")


class Feed(msgspec.Struct, frozen=True):
    """The decoded part of a feed."""

    articles: list[Text]
    """Newest first."""
    unreadable: int
    """The number of entries without a title or a usable URL."""
    is_whole: bool = True
    """False when the markup is broken or truncated, so that entries may be missing."""


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
    )


def feed_request(url: str, etag: str | None = None, last_modified: str | None = None) -> RestRequest:
    """The request for a feed, conditional on a change since the answer with ``etag`` or ``last_modified``."""
    parts = urlsplit(url)
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return RestRequest(
        urlunsplit(("", "", parts.path or "/", parts.query, "")),
        headers={name: value for name, value in conditions.items() if value},
    )


def decode_feed(name: str, body: bytes, now_us: int) -> Feed:
    """Decode a feed of any dialect. Raises BadMessage when the body is not a feed.

    Articles without a valid time count as published at ``now_us``.
    """
    try:
        parsed: Any = feedparser.parse(
            io.BytesIO(body),
            sanitize_html=False,
            resolve_relative_uris=False,  # only titles are kept
        )
    except Exception as error:  # on broken markup feedparser and its parsers raise anything
        raise BadMessage(name, f"the feed cannot be parsed: {type(error).__name__} {error}", body) from error
    if not parsed.get("version"):
        raise BadMessage(name, "the answer is not a feed; check its URL in COINWATCH_NEWS_FEEDS", body)
    if parsed.bozo and not parsed.entries:
        raise BadMessage(name, f"the feed is truncated or broken: {parsed.bozo_exception}", body)
    read = [_article(entry, now_us) for entry in parsed.entries[:MOST_ENTRIES]]
    newest_first = sorted(
        (article for article in read if article), key=lambda article: (-article.published_us, article.url)
    )
    is_whole = not isinstance(parsed.get("bozo_exception"), SAXException)
    return Feed(newest_first, read.count(None), is_whole)


def _article(entry: Any, now_us: int) -> Text | None:
    link = text(entry.get("feedburner_origlink")) or text(entry.get("link"))
    url = canonical_url(link) if link else None
    title = text(" ".join(_TAGS.sub("", html.unescape(str(entry.get("title", "")))).split()))
    if url is None or title is None:
        return None
    return Text(url=url, title=title[:LONGEST_TITLE], published_us=_published_us(entry, now_us))


def _published_us(entry: Any, now_us: int) -> int:
    # By dict.get, because feedparser's own substitutes one key for the other, with a warning.
    moment = dict.get(entry, "published_parsed") or dict.get(entry, "updated_parsed")
    try:
        published_us = calendar.timegm(moment) * SECOND_US if moment else now_us
    except (ValueError, OverflowError, TypeError):
        return now_us
    return published_us if _FIRST_US < published_us < now_us + DAY_US // 24 else now_us
