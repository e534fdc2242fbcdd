"""Parsing of RSS and Atom by feedparser, in a process of its own.

Some expressions of feedparser take the square of the length of what they match, so the process has limits of
time and memory. ``python -m sources.providers.feed_parser NAME NOW_US LIMIT_S`` reads a feed from stdin and
writes a ``Parsed``.

Documentation: feedparser.readthedocs.io ("Parsing a feed from a string").
"""

from __future__ import annotations

import asyncio
import calendar
import io
import os
import resource
import sys
from datetime import UTC, datetime
from typing import Any
from xml.sax import SAXException

import feedparser
import msgspec

from coinwatch.errors import BadMessage
from coinwatch.outside.markup import LONGEST_MARKUP, plain_text
from coinwatch.sentiment.articles import LONGEST_TITLE, Text, canonical_url
from coinwatch.times import DAY_US, SECOND_US, from_datetime
from sources.providers.lenient_fields import text

LIMIT_S = 10
"""Of processor time; a feed of a megabyte takes half a second."""
WAIT_S = 30.0
MEMORY_BYTES = 1024**3
MOST_ENTRIES = 500
_NICE = 10
_FIRST_US = from_datetime(datetime(2009, 1, 3, tzinfo=UTC))


class Feed(msgspec.Struct, frozen=True):
    """The decoded part of a feed."""

    articles: list[Text]
    """Newest first."""
    unreadable: int
    """The number of entries without a title or a usable URL."""
    is_whole: bool = True
    """False when the markup is broken or truncated, so that entries may be missing."""


class Parsed(msgspec.Struct, frozen=True):
    """The result of a process: a feed, or why there is none."""

    feed: Feed | None = None
    problem: str = ""


async def parse_feed(name: str, body: bytes, now_us: int, *, limit_s: int = LIMIT_S) -> Feed:
    """Decode a feed like ``decode_feed``, within limits of time and memory. Raises BadMessage."""
    command = (sys.executable, "-m", __name__, name, str(now_us), str(limit_s))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(WAIT_S):
            written, _ = await process.communicate(body)
        parsed = msgspec.json.decode(written, type=Parsed)
    except (TimeoutError, msgspec.MsgspecError) as error:
        problem = f"parsing the feed of {len(body):,} bytes took too long or too much memory, and was stopped"
        raise BadMessage(name, problem, body) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if parsed.feed is None:
        raise BadMessage(name, parsed.problem, body)
    return parsed.feed


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
    # Many feeds escape the markup of their titles twice.
    markup = str(entry.get("title", ""))[:LONGEST_MARKUP]
    title = text(" ".join(plain_text(plain_text(markup)).split()))
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


def main() -> None:
    """Parse the feed on stdin."""
    name, now_us, limit_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        parsed = Parsed(decode_feed(name, sys.stdin.buffer.read(), now_us))
    except BadMessage as error:
        parsed = Parsed(problem=str(error).removeprefix(f"{name}: "))
    sys.stdout.buffer.write(msgspec.json.encode(parsed))


if __name__ == "__main__":
    main()
