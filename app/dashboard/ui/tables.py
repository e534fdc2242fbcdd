"""Tables and pills in HTML, with words to point at. Pure; cells are HTML already, all else is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Column = tuple[str, str, str]
"""Title, class (number, time, name, text, wide or none), and what it means."""


def table(label: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """``rows`` under ``columns``, in a box that scrolls sideways by mouse and keyboard."""
    head = "".join(_head(*column) for column in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind, _) in zip(row, columns, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="cw-scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<table class="cw-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def tiles(rows: Sequence[tuple[str, str, str]]) -> str:
    """Tiles of name, value and remark."""
    body = "".join(
        f'<div class="cw-tile"><span class="muted">{escape(name)}</span><b>{escape(value)}</b>'
        f'<span class="muted">{escape(under)}</span></div>'
        for name, value, under in rows
    )
    return f'<div class="cw-tiles">{body}</div>'


def pill(kind: str, words: str) -> str:
    """A state: ``ok``, ``warn``, ``bad`` or ``off``."""
    return f'<span class="cw-pill {kind}">{escape(words)}</span>'


def section(title: str, *parts: str) -> str:
    """``parts`` under a heading."""
    return f'<h2 class="cw-section">{escape(title)}</h2>{"".join(parts)}'


def note(words: str) -> str:
    """A line of explanation."""
    return f'<p class="cw-notes">{escape(words)}</p>'


def _head(title: str, kind: str, meaning: str) -> str:
    words = escape(title)
    if not words:
        return f'<td class="{kind}"></td>'  # a heading without words would be read out as one
    if meaning:
        words = f'<span class="cw-term" title="{escape(meaning)}">{words}</span>'
    return f'<th class="{kind}" scope="col">{words}</th>'
