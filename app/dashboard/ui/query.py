"""URL parameters, which anyone may edit by hand: wrong values are replaced, with a note. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.dashboard.ui.indicators import KINDS, Indicator, parse_indicator
from coinwatch.errors import CoinwatchError, UnknownSymbol
from coinwatch.records import Symbol
from coinwatch.symbols import parse_symbol

T = TypeVar("T")

MOST_INDICATORS = 6
_SHOWN = 40


@dataclass(frozen=True)
class Choice(Generic[T]):
    """The value of a parameter, and a note when it is not the one in the address."""

    value: T
    note: str = ""


def symbol(raw: str | None, known: Sequence[Symbol]) -> Choice[Symbol]:
    """Any spelling of a known pair, else the first of ``known``, which must not be empty."""
    if not raw:
        return Choice(known[0])
    try:
        return Choice(parse_symbol(raw, known))
    except UnknownSymbol as error:
        return Choice(known[0], f"{error}. Showing {known[0]}.")


def symbols(raw: Collection[str], known: Sequence[Symbol]) -> Choice[tuple[Symbol, ...]]:
    """The known pairs among ``raw``, in any spelling, each once."""
    chosen: dict[Symbol, None] = {}
    notes = []
    for text in raw:
        try:
            chosen[parse_symbol(text, known)] = None
        except UnknownSymbol as error:
            notes.append(f"{error}.")
    return Choice(tuple(chosen), " ".join(notes))


def option(name: str, raw: str | None, options: Sequence[str], default: str) -> Choice[str]:
    """``raw`` when it is an option in any case, else ``default``."""
    if not raw:
        return Choice(default)
    for option in options:
        if option.lower() == raw.strip().lower():
            return Choice(option)
    return Choice(
        default, f"Unknown {name} {raw[:_SHOWN]!r}: there are {', '.join(options)}. Showing {default}."
    )


def indicators(raw: Collection[str], kinds: Sequence[str] = KINDS) -> Choice[tuple[Indicator, ...]]:
    """The indicators of ``kinds`` among ``raw``, each once, at most ``MOST_INDICATORS``."""
    chosen: dict[Indicator, None] = {}
    notes = []
    for text in raw:
        try:
            chosen[parse_indicator(text, kinds)] = None
        except CoinwatchError as error:
            notes.append(f"{error}.")
    if len(chosen) > MOST_INDICATORS:
        notes.append(f"At most {MOST_INDICATORS} are drawn.")
    return Choice(tuple(chosen)[:MOST_INDICATORS], " ".join(notes))
