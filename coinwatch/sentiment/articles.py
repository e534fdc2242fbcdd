"""Articles and posts: canonical URLs, and detection of copies. Pure: no I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

LONGEST_TITLE = 500
LONGEST_URL_BYTES = 2_000
"""Longer ones cannot be keys in Postgres."""
FEWEST_WORDS = 4
"""Shorter titles, such as "Market wrap", recur daily without being copies of each other."""

_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_[ce]id|ref|ref_src|source|cmpid|ncid|partner|rss")
_WORDS = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")


class Text(msgspec.Struct, frozen=True):
    """An article, a post or a message."""

    url: str
    """Its address, as ``canonical_url`` spells it."""
    title: str
    """The headline, or the beginning of a message without a headline."""
    published_us: int


def canonical_url(url: str) -> str | None:
    """``url`` without tracking parameters; None when a browser could not open it, or it is too long."""
    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or "\0" in url:
        return None
    query = [(name, value) for name, value in parse_qsl(parts.query) if not _TRACKING.fullmatch(name.lower())]
    path = parts.path.rstrip("/")
    canonical = urlunsplit((parts.scheme.lower(), f"{host}{port}", path, urlencode(query), ""))
    return canonical if len(canonical.encode(errors="replace")) <= LONGEST_URL_BYTES else None


def title_key(title: str, feed: str = "") -> str | None:
    """A key shared by the titles of one article: its words without case, punctuation and feed name.

    None when the title has too few words to identify copies.
    """
    plain = unicodedata.normalize("NFKC", title).casefold().replace("\u2019", "'")
    head, separator, tail = _last_part(plain)
    if separator and _letters(tail) == _letters(feed.casefold()):
        plain = head
    words = _WORDS.findall(plain)
    # Compatible forms may be longer than the title.
    return " ".join(words)[:LONGEST_TITLE] if len(words) >= FEWEST_WORDS else None


def without_copies(texts: Iterable[Text], feed: str = "") -> list[Text]:
    """Drop texts with the URL or the title key of an earlier text."""
    seen: set[str] = set()
    kept = []
    for text in texts:
        keys = {text.url, *filter(None, [title_key(text.title, feed)])}
        if not keys & seen:
            kept.append(text)
        seen |= keys
    return kept


def _last_part(title: str) -> tuple[str, str, str]:
    """Split ``bitcoin rises | coindesk`` at its last separator."""
    for separator in (" | ", " - ", " \u2013 ", " \u2014 "):
        head, match, tail = title.rpartition(separator)
        if match:
            return head, match, tail
    return title, "", ""


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
