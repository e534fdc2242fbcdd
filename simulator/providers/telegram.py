"""A simulated the public pages of Telegram's channels: ``/s/<channel>``.

By the markup of core.telegram.org/widgets/post, which these pages share; never compared with the
real ones, of which there are no recordings. Channels whose names begin with ``private`` are.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from coinwatch.times import to_datetime
from simulator.exchanges.base import Answer
from simulator.providers.base import Provider
from simulator.providers.stories import newest

MESSAGES: Final = 20
_HTML: Final = {"content-type": "text/html; charset=utf-8"}


class Telegram(Provider):
    name = "telegram"

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        channel = path.removeprefix("/s/")
        if not path.startswith("/s/") or "/" in channel or channel.startswith("private"):
            page = f'<html><body><div class="tgme_page">Contact @{escape(channel)}</div></body></html>'
            return Answer(page.encode(), headers=_HTML)
        messages = "".join(
            f'<div class="tgme_widget_message_wrap"><div class="tgme_widget_message js-widget_message" '
            f'data-post="{escape(channel)}/{story.slot}">'
            f'<div class="tgme_widget_message_text js-message_text" dir="auto">{escape(story.title)}<br/>'
            f'<a href="https://example.org"><b>Read</b> more</a></div>'
            f'<div class="tgme_widget_message_footer"><span class="tgme_widget_message_views">1.2K</span>'
            f'<time datetime="{to_datetime(story.published_us).isoformat()}" class="time">10:00</time>'
            "</div></div></div>"
            for story in reversed(newest(channel, now_us, MESSAGES))
        )
        page = f'<html><body><div class="tgme_channel_info">{escape(channel)}</div>{messages}</body></html>'
        return Answer(page.encode(), headers=_HTML)
