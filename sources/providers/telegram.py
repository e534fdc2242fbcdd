"""Telegram: the newest messages of public channels, from their web pages. Off unless channels are set.

Without an account there is no documented API; the page ``t.me/s/<channel>`` is the one for browsers
("Telegram Widgets", core.telegram.org/widgets/post, has the same markup). It has the twenty newest
messages, so a day is complete only when the page is fetched often enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from coinwatch.errors import BadMessage, SettingsError
from coinwatch.outside.markup import plain_text
from coinwatch.sentiment.articles import LONGEST_TITLE, Text
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import MINUTE_US
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import moment_us, text

NAME = SentimentSource.TELEGRAM.value
LIMIT = RateLimit(capacity=1, per_second=1 / 3)
LARGEST_PAGE = 4 * 1024 * 1024
"""In bytes. A page of twenty messages has 0.2 MB."""
_CHANNEL = re.compile(r"[A-Za-z]\w{3,31}", re.ASCII)
_POST = re.compile(r"\w+/\d+", re.ASCII)
_TAG = re.compile(r"<(/?[a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>")
_ATTRIBUTE = re.compile(r"""\s(class|data-post|datetime)\s*+=\s*+("[^"]*+"|'[^']*+')""")
_UNREADABLE = "unreadable"
_MESSAGE, _TEXT, _INFO = "tgme_widget_message", "tgme_widget_message_text", "tgme_channel_info"
_SERVICE, _REPLY, _REPLY_TEXT = "service_message", "tgme_widget_message_reply", "js-message_reply_text"
"""What is not the text of a post: "Channel created", a pinned message; the post it replies to."""


class Messages(msgspec.Struct, frozen=True):
    """The decoded part of a page."""

    texts: list[Text]
    unreadable: int
    """The number of messages without a time or a URL."""


def telegram_http(
    root: str, budget: Budget, *, scale: float = 1.0, patience: Patience | None = None
) -> HttpSource:
    """Make the client; ``scale`` is the setting ``rate_limit_scale``."""
    return HttpSource(
        NAME,
        root,
        budget,
        LIMIT.scaled(scale),
        patience=patience or Patience(read_s=20, attempts=3),
        takes_markup=True,
        largest=LARGEST_PAGE,
    )


def channel_request(channel: str) -> RestRequest:
    """The request for the newest messages. Raises SettingsError for an invalid channel name."""
    name = channel.removeprefix("@")
    if not _CHANNEL.fullmatch(name):
        raise SettingsError(
            f"COINWATCH_TELEGRAM_CHANNELS: {channel[:40]!r} is not a channel name "
            "such as binance_announcements"
        )
    return RestRequest(f"/s/{name}")


def decode_channel(channel: str, body: bytes, now_us: int) -> Messages:
    """``<div class="tgme_widget_message …" data-post="channel/7"> … <div class="tgme_widget_message_text
    …">words</div> … <time datetime="2026-11-20T10:00:00+00:00">``

    Raises BadMessage for any other page, such as that of a private or unknown channel.
    """
    page = body.decode("utf-8", "replace")
    tags = list(_tags(page))
    if not any(_MESSAGE in tag.classes or _INFO in tag.classes for tag in tags):
        raise BadMessage(NAME, f"{channel}: not a public channel, or the page's markup has changed", body)
    starts = [number for number, tag in enumerate(tags) if _MESSAGE in tag.classes]
    read = [_message(page, tags[start:end], now_us) for start, end in pairwise([*starts, len(tags)])]
    return Messages([message for message in read if isinstance(message, Text)], read.count(_UNREADABLE))


class _Tag(NamedTuple):
    name: str
    """With a slash before it at the end of an element."""
    classes: frozenset[str]
    attributes: dict[str, str]
    start: int
    end: int


def _tags(page: str) -> Iterator[_Tag]:
    for match in _TAG.finditer(page):
        attributes = {name: value[1:-1] for name, value in _ATTRIBUTE.findall(match[2])}
        classes = frozenset(attributes.get("class", "").split())
        yield _Tag(match[1].lower(), classes, attributes, match.start(), match.end())


def _message(page: str, tags: list[_Tag], now_us: int) -> Text | str | None:
    """The message whose tags these are; None without words, as those of a picture alone."""
    post = tags[0].attributes.get("data-post", "")
    moments = [
        tag.attributes["datetime"] for tag in tags if tag.name == "time" and "datetime" in tag.attributes
    ]
    published_us = moment_us(moments[-1]) if moments else None
    if not _POST.fullmatch(post) or published_us is None or published_us > now_us + 60 * MINUTE_US:
        return _UNREADABLE
    title = text(" ".join(plain_text(_words(page, tags)).split()))
    return Text(f"https://t.me/{post}", title[:LONGEST_TITLE], published_us) if title else None


def _words(page: str, tags: list[_Tag]) -> str:
    """The markup of the words of a post, without those of the post it replies to."""
    if _SERVICE in tags[0].classes:
        return ""
    words: list[str] = []
    depth = start = 0
    in_reply = False
    for tag in tags:
        if depth and tag.name in ("div", "/div"):
            depth += 1 if tag.name == "div" else -1
            if not depth:
                words.append(page[start : tag.start])
        elif depth or (in_reply and tag.name != "/a"):
            continue
        elif tag.name == "a" and _REPLY in tag.classes:
            in_reply = True
        elif tag.name == "/a":
            in_reply = False
        elif tag.name == "div" and _TEXT in tag.classes and _REPLY_TEXT not in tag.classes:
            depth, start = 1, tag.end
    if depth:
        words.append(page[start : tags[-1].end])
    return " ".join(words)
