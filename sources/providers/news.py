"""News feeds, RSS and Atom: asked only for what changed since, read by feedparser.

Documentation: feedparser.readthedocs.io ("Parsing a feed from a string"; "ETag and Last-Modified
Headers", which are sent here by ``HttpSource``: feedparser itself never opens a connection).
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
from coinwatch.sentiment.scoring import Source
from coinwatch.times import DAY_US, SECOND_US, from_datetime
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import text

NAME = Source.NEWS.value
LIMIT = RateLimit(capacity=2, per_second=1 / 30)
"""Of each outlet. Feeds are asked every quarter of an hour."""
MOST_ENTRIES = 500
_FIRST_US = from_datetime(datetime(2009, 1, 3, tzinfo=UTC))
_TAGS = re.compile(r"</?[a-zA-Z][^>]*>")


class Feed(msgspec.Struct, frozen=True):
    """What could be read of a feed."""

    articles: list[Text]
    """The newest first."""
    unreadable: int
    """Entries without a title, or an address that a browser could open."""
    is_whole: bool = True
    """Else its markup is broken or cut short, and entries may be missing."""


def feed_http(
    outlet: str, url: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """The client of one outlet; ``scale`` is the setting ``rate_limit_scale``."""
    parts = urlsplit(url)
    return HttpSource(
        outlet,
        f"{parts.scheme}://{parts.netloc}",
        budget,
        # Two outlets may be on one host, and in the simulator all are.
        RateLimit(LIMIT.capacity, LIMIT.per_second, scope=f"feed of {outlet}").scaled(scale),
        patience=patience or Patience(read_s=20, attempts=3),
        takes_markup=True,
    )


def feed_request(url: str, etag: str | None = None, last_modified: str | None = None) -> RestRequest:
    """Ask for the feed if it changed since the answer that had this ``etag`` or ``last_modified``."""
    parts = urlsplit(url)
    told = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return RestRequest(
        urlunsplit(("", "", parts.path or "/", parts.query, "")),
        headers={name: value for name, value in told.items() if value},
    )


def decode_feed(outlet: str, body: bytes, now_us: int) -> Feed:
    """The articles of a feed in any dialect. Raises BadMessage for what is no feed.

    Some have no time, or one that cannot be: they count as published now.
    """
    try:
        parsed: Any = feedparser.parse(
            io.BytesIO(body),
            sanitize_html=False,
            resolve_relative_uris=False,  # nothing but titles is kept
        )
    except Exception as error:  # feedparser and what it calls raise anything on broken markup
        raise BadMessage(
            outlet, f"a feed that cannot be read: {type(error).__name__} {error}", body
        ) from error
    if not parsed.get("version"):
        raise BadMessage(outlet, "an answer that is no feed; check its URL in COINWATCH_NEWS_FEEDS", body)
    if parsed.bozo and not parsed.entries:
        raise BadMessage(outlet, f"a feed that is cut short or broken: {parsed.bozo_exception}", body)
    read = [_article(entry, now_us) for entry in parsed.entries[:MOST_ENTRIES]]
    newest_first = sorted((one for one in read if one), key=lambda one: (-one.published_us, one.url))
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
    # As a plain dict, because feedparser takes one for the other, with a warning.
    moment = dict.get(entry, "published_parsed") or dict.get(entry, "updated_parsed")
    try:
        published_us = calendar.timegm(moment) * SECOND_US if moment else now_us
    except (ValueError, OverflowError, TypeError):
        return now_us
    return published_us if _FIRST_US < published_us < now_us + DAY_US // 24 else now_us
