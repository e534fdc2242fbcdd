"""The plain text of HTML that others wrote. Pure: no I/O.

Its cost grows with the length alone. Parsers that build a tree, and html.parser of older Pythons, take the
square of it for nested, unclosed or crossing tags.
"""

from __future__ import annotations

import re

from markupsafe import Markup

LONGEST_MARKUP = 20_000
"""In characters; the rest is cut."""

_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE)
_LINE_END = re.compile(r"\n|<(?:br|p|li|h[1-6]|div|tr)\b[^<>]*+>", re.IGNORECASE)
_NOT_A_TAG = re.compile(r"<(?![a-zA-Z/!?])")
_HUGE_NUMBER = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")
"""No character has such a number, and thousands of digits are an error to ``html.unescape``."""
_KEPT_LINE_END = "\0"
"""Not whitespace, which ``striptags`` collapses."""


def plain_text(markup: str) -> str:
    """The text of ``markup`` without tags, scripts and styles; entities are characters.

    Whitespace is collapsed, except the ends of lines and of paragraphs.
    """
    text = _HIDDEN.sub("", markup[:LONGEST_MARKUP].replace(_KEPT_LINE_END, ""))
    text = _LINE_END.sub(_KEPT_LINE_END, text)
    text = _HUGE_NUMBER.sub("\N{REPLACEMENT CHARACTER}", _NOT_A_TAG.sub("&lt;", text))
    return Markup(text).striptags().replace(_KEPT_LINE_END, "\n")  # noqa: S704  # the result is text, not markup
