"""Articles and posts: how they are told apart, and which are copies of others. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

LONGEST_TITLE = 500
FEWEST_WORDS = 4
"""Shorter titles ("Market wrap") come back every day without being copies of each other."""

_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_[ce]id|ref|ref_src|source|cmpid|ncid|partner|rss")
_WORDS = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")


class Text(msgspec.Struct, frozen=True):
    """An article, a post or a message."""

    url: str
    """Where it can be read; see ``canonical_url``."""
    title: str
    """A headline; of a message without one, its beginning."""
    published_us: int


def canonical_url(url: str) -> str | None:
    """``url`` without what only says who linked to it; None when no browser could open it."""
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
    return urlunsplit((parts.scheme.lower(), f"{host}{port}", path, urlencode(query), ""))


def title_key(title: str, outlet: str = "") -> str | None:
    """What two titles of one article have in common: their words, without capitals, marks and outlet.

    None when there are too few words to tell copies by.
    """
    plain = unicodedata.normalize("NFKC", title).casefold().replace("\u2019", "'")
    head, mark, tail = _last_part(plain)
    if mark and _letters(tail) == _letters(outlet.casefold()):
        plain = head
    words = _WORDS.findall(plain)
    return " ".join(words) if len(words) >= FEWEST_WORDS else None


def without_copies(texts: Iterable[Text], outlet: str = "") -> list[Text]:
    """The texts without those that have the address or the title of an earlier one."""
    seen: set[str] = set()
    kept = []
    for one in texts:
        marks = {one.url, *filter(None, [title_key(one.title, outlet)])}
        if not marks & seen:
            kept.append(one)
        seen |= marks
    return kept


def _last_part(title: str) -> tuple[str, str, str]:
    """``bitcoin rises | coindesk`` in its parts."""
    for mark in (" | ", " - ", " \u2013 ", " \u2014 "):
        head, found, tail = title.rpartition(mark)
        if found:
            return head, found, tail
    return title, "", ""


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
