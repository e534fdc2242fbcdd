"""Telegram: the newest messages of public channels, from their web pages. Off unless channels are set.

Without an account there is no documented API; the page ``t.me/s/<channel>`` is the one for browsers
("Telegram Widgets", core.telegram.org/widgets/post, has the same markup). It has the twenty newest
messages, so a day is complete only when the page is fetched often enough.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

from coinwatch.errors import BadMessage, SettingsError
from coinwatch.sentiment.articles import LONGEST_TITLE, Text
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import MINUTE_US
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import Budget, HttpSource, Patience
from sources.providers.lenient_fields import moment_us, text

NAME = SentimentSource.TELEGRAM.value
LIMIT = RateLimit(capacity=1, per_second=1 / 3)
_CHANNEL = re.compile(r"[A-Za-z]\w{3,31}", re.ASCII)
_POST = re.compile(r"\w+/\d+", re.ASCII)
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
    page = _Page()
    page.feed(body.decode("utf-8", "replace"))
    page.close()
    if not page.is_channel:
        raise BadMessage(NAME, f"{channel}: not a public channel, or the page's markup has changed", body)
    texts, unreadable = [], 0
    for post, words, moment in page.messages:
        title = text(" ".join("".join(words).split()))
        published_us = moment_us(moment)
        if (
            not (post and _POST.fullmatch(post))
            or published_us is None
            or published_us > now_us + 60 * MINUTE_US
        ):
            unreadable += 1
        elif title:  # messages with only a picture have no text to score
            texts.append(Text(f"https://t.me/{post}", title[:LONGEST_TITLE], published_us))
    return Messages(texts, unreadable)


class _Page(HTMLParser):
    """Collects the messages of a page as (post, words, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.is_channel = False
        self.messages: list[tuple[str | None, list[str], str | None]] = []
        self._depth = 0
        """The depth of div tags inside the text of a message; 0 outside."""
        self._is_service = False
        self._in_reply = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        classes = (attributes.get("class") or "").split()
        if _MESSAGE in classes:
            self.is_channel = True
            self.messages.append((attributes.get("data-post"), [], None))
            self._is_service = _SERVICE in classes
            self._in_reply = False
        elif _INFO in classes:
            self.is_channel = True
        elif _REPLY in classes and tag == "a":
            self._in_reply = True
        elif tag == "time" and self.messages and attributes.get("datetime"):
            post, words, _ = self.messages[-1]
            self.messages[-1] = (post, words, attributes["datetime"])
        if self._depth and tag == "div":
            self._depth += 1
        elif tag == "div" and _TEXT in classes and self._is_post_text(classes):
            self._depth = 1
        elif self._depth and tag == "br":
            self.messages[-1][1].append(" ")

    def _is_post_text(self, classes: list[str]) -> bool:
        return bool(self.messages) and not (
            self._depth or self._is_service or self._in_reply or _REPLY_TEXT in classes
        )

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_reply = False
        if self._depth and tag == "div":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.messages[-1][1].append(data)
