"""Simulated news feeds: ``/<outlet>`` is the feed of that outlet, in its dialect.

By the RSS 2.0 specification, RFC 4287 (Atom) and RFC 9110 (conditional requests); never compared
with real outlets, of which there are no recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import format_datetime
from typing import Final
from xml.sax.saxutils import escape

from coinwatch.settings import DEFAULT_FEEDS
from coinwatch.times import MINUTE_US, to_datetime
from simulator.exchanges.base import Answer, Refused
from simulator.hashing import seed_of
from simulator.providers.base import Provider
from simulator.providers.stories import Story, newest

OUTLETS: Final = tuple(outlet for outlet, _ in DEFAULT_FEEDS)
ENTRIES: Final = 40
ATOM: Final = "decrypt"
"""This outlet's feed is Atom, the others are RSS."""
WITHOUT_ETAG: Final = "theblock"
"""This one sends Last-Modified instead of an ETag."""
SIGNS: Final = "cointelegraph"
"""This one appends its name to the titles of agency stories."""


class News(Provider):
    name = "news"

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        outlet = path.strip("/")
        if outlet not in OUTLETS:
            raise Refused(Answer(b"<html><body>404 Not Found</body></html>", 404))
        stories = newest(outlet, now_us, ENTRIES)
        changed = format_datetime(to_datetime(stories[0].published_us), usegmt=True)
        etag = f'"{seed_of("feed", outlet, stories[0].slot):x}"'
        marks = {"last-modified": changed} if outlet == WITHOUT_ETAG else {"etag": etag}
        if headers.get("if-none-match") == etag or headers.get("if-modified-since") == changed:
            return Answer(b"", 304, marks)
        body = _atom(outlet, stories) if outlet == ATOM else _rss(outlet, stories)
        return Answer(body.encode(), headers={"content-type": "application/xml; charset=utf-8", **marks})


def link(outlet: str, story: Story) -> str:
    """The URL of the article, with tracking parameters."""
    return f"https://www.{outlet}.example/articles/{story.slot}?utm_source=rss&utm_medium=feed"


def _title(outlet: str, story: Story) -> str:
    return escape(f"{story.title} | {outlet.title()}" if outlet == SIGNS and story.is_wire else story.title)


def _rss(outlet: str, stories: list[Story]) -> str:
    items = "".join(
        f"<item><title>{_title(outlet, story)}</title><link>{escape(link(outlet, story))}</link>"
        f"<pubDate>{format_datetime(to_datetime(story.published_us))}</pubDate>"
        f"<description><![CDATA[<p>{story.title}.</p>]]></description></item>"
        for story in stories
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel>'
        f"<title>{outlet.title()}</title><link>https://www.{outlet}.example/</link>"
        f"<description>Simulated news</description>{items}"
        # An advertisement without a link, as in some real feeds.
        "<item><title>Our newsletter</title></item></channel></rss>"
    )


def _atom(outlet: str, stories: list[Story]) -> str:
    entries = "".join(
        f"<entry><title>{_title(outlet, story)}</title><id>{outlet}:{story.slot}</id>"
        f'<link rel="alternate" href="{escape(link(outlet, story))}"/>'
        f"<published>{to_datetime(story.published_us):%Y-%m-%dT%H:%M:%SZ}</published>"
        f"<updated>{to_datetime(story.published_us + MINUTE_US):%Y-%m-%dT%H:%M:%SZ}</updated></entry>"
        for story in stories
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{outlet.title()}</title><id>{outlet}</id>{entries}</feed>"
    )
