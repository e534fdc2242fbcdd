"""Coinwatch's look: a palette for each theme, and the style sheet of our own HTML.

Streamlit sets ``color-scheme`` on the app, so ``light-dark()`` follows the viewer's theme at once.
The widgets' own colours are in ``.streamlit/config.toml`` and match these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sources.exchanges import EXCHANGES


@dataclass(frozen=True)
class Palette:
    """Colours of one theme, for what CSS cannot reach: the canvas of the chart."""

    text: str
    muted: str
    line: str
    surface: str
    up: str
    down: str
    accent: str
    hatch: str
    overlays: tuple[str, ...]
    exchanges: tuple[str, ...]
    """Distinct in a chart, and legible on its background."""


LIGHT = Palette(
    text="#17212e",
    muted="#576374",
    line="#e3e8ee",
    surface="#ffffff",
    up="#0a7867",
    down="#c02f45",
    accent="#2456c7",
    hatch="#a85b00",
    overlays=("#2456c7", "#a85b00", "#7a3fc0", "#0077a3", "#8a6d00"),
    exchanges=(
        *("#b8860b", "#2456c7", "#c2410c", "#7a3fc0", "#0a7867"),
        *("#be185d", "#0077a3", "#4d7c0f", "#6b4f3a", "#64748b"),
    ),
)
DARK = Palette(
    text="#e5eaf1",
    muted="#9aa7b8",
    line="#232d3b",
    surface="#18202b",
    up="#3fd0b4",
    down="#ff8090",
    accent="#7da6ff",
    hatch="#f0b057",
    overlays=("#7da6ff", "#f0b057", "#c79bff", "#5cc8f2", "#e0cf6b"),
    exchanges=(
        *("#f3c64b", "#7da6ff", "#ff9466", "#c79bff", "#3fd0b4"),
        *("#ff8cc0", "#5cc8f2", "#a8d86a", "#d2b48c", "#a9b6c8"),
    ),
)


def palette(theme: Literal["light", "dark"] | str | None) -> Palette:
    """The palette of a theme by Streamlit's name for it; light when unknown."""
    return DARK if theme == "dark" else LIGHT


def exchange_colours(names: Iterable[str], colours: Palette) -> dict[str, str]:
    """The colour of each exchange, the same on every page; ``binance:USDC`` has that of ``binance``."""
    known = sorted(EXCHANGES)
    chosen = {}
    for name in names:
        exchange = name.partition(":")[0]
        place = known.index(exchange) if exchange in known else len(known) - 1
        chosen[name] = colours.exchanges[place % len(colours.exchanges)]
    return chosen


def _style_sheet() -> str:
    names = ("text", "muted", "line", "surface", "up", "down", "accent", "hatch")
    colours = "".join(
        f"--cw-{name}: light-dark({getattr(LIGHT, name)}, {getattr(DARK, name)});" for name in names
    )
    rules = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"<style>.stApp {{{colours}}}\n{rules}</style>"


CSS = _style_sheet()
"""The whole style sheet, for ``st.html``."""
