"""HTML that pages share and that Streamlit has no widget for."""

from __future__ import annotations

from datetime import tzinfo

from markupsafe import Markup

from app.dashboard.ui.templates import macro, render
from coinwatch.records import Symbol


def wrap(*parts: str, frozen: bool = False) -> Markup:
    """``parts`` of HTML in the element of our style sheet; ``frozen`` greys out live numbers."""
    return render("ui/wrap.html.j2", parts=[Markup(part) for part in parts], frozen=frozen)  # noqa: S704


def banner(text: str) -> Markup:
    """A warning about the data below."""
    return macro("banner", text)


def empty(title: str, *paragraphs: str) -> Markup:
    """A page without data, and what to do. Text between backticks is set as a command."""
    return render("ui/empty.html.j2", title=title, paragraphs=paragraphs)


def section(title: str) -> Markup:
    """A heading."""
    return macro("section", title)


def pair_title(symbol: Symbol) -> Markup:
    """A symbol as the title of a page."""
    return macro("pair_title", symbol)


def time(ts_us: int, zone: tzinfo, *, seconds: bool = True) -> Markup:
    """A time in the viewer's zone; pointing at it shows UTC."""
    return macro("time", ts_us, zone, seconds)


def offer(words: str, address: str) -> Markup:
    """A link to something to do next."""
    return macro("offer", words, address)
