"""HTML that pages share and that Streamlit has no widget for."""

from __future__ import annotations

from markupsafe import Markup

from app.dashboard.ui.templates import macro, render
from coinwatch.records import Symbol


def wrap(*parts: str, frozen: bool = False) -> Markup:
    """``parts`` in the element of our style sheet; ``frozen`` greys out live numbers."""
    return render("ui/wrap.html.j2", parts=parts, frozen=frozen)


def banner(text: str) -> Markup:
    """A warning about the data below."""
    return macro("banner", text)


def empty(title: str, *paragraphs: str) -> Markup:
    """A page without data, and what to do. Text between backticks is set as a command."""
    return render("ui/empty.html.j2", title=title, paragraphs=paragraphs)


def section(title: str, *parts: str) -> Markup:
    """``parts`` under a heading."""
    return Markup().join((macro("section", title), *parts))


def note(words: str) -> Markup:
    """A line of explanation."""
    return macro("note", words)


def pair_title(symbol: Symbol) -> Markup:
    """A symbol as the title of a page."""
    return macro("pair_title", symbol)


def offer(words: str, address: str) -> Markup:
    """A link to something to do next."""
    return macro("offer", words, address)
