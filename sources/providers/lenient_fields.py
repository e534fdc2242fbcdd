"""Reading what providers say, field by field: one absurd number spoils only itself.

Providers of fundamentals answer with lists of hundreds of coins, some of them abandoned or made up,
with prices of 0, negative market caps and supplies of 1e60. The others are still good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from math import isfinite
from typing import Any

import msgspec

from coinwatch.assets import CoinMetrics
from coinwatch.errors import BadMessage
from coinwatch.times import from_datetime

MOST_PRICE_USD = 1e12
MOST_WORTH_USD = 1e16
"""More than a hundred times everything that is owned on earth."""
MOST_SUPPLY = 1e33
MOST_CHANGE = 1e7
_MOST_TEXT = 20_000


def json_of(source: str, body: bytes) -> Any:
    """The answer, with ``NaN`` and ``Infinity`` as numbers: some providers send them. Raises BadMessage."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage(source, f"an answer that is no JSON: {error}", body) from error


def text(value: object) -> str | None:
    """``value`` as text that a database takes; None when it is none, or empty."""
    if not isinstance(value, str):
        return None
    clean = value[:_MOST_TEXT].replace("\0", "").encode("utf-8", "replace").decode().strip()
    return clean or None


def url(value: object) -> str | None:
    """``value`` when it is an address a browser may open."""
    clean = text(value)
    return clean if clean and clean.lower().startswith(("https://", "http://")) else None


def whole(value: object) -> int | None:
    """``value`` when it is an integer, be it written as text, that a database takes; else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**31 else None


class Page(msgspec.Struct, frozen=True):
    """What could be read of an answer."""

    coins: list[CoinMetrics]
    unreadable: int
    """Entries without even an id."""


class Fields:
    """The numbers and times of one coin. What no coin can have is None, and named in ``dropped``."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self._dropped: list[str] = []

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    def price(self, name: str) -> float | None:
        """In USD, above 0."""
        return self._kept(name, lambda value: 0 < value <= MOST_PRICE_USD)

    def worth(self, name: str) -> float | None:
        """A market cap in USD. Providers write 0 for one they do not know."""
        return self._kept(name, lambda value: 0 <= value <= MOST_WORTH_USD) or None

    def volume(self, name: str) -> float | None:
        """In USD; 0 where nothing is traded."""
        return self._kept(name, lambda value: 0 <= value <= MOST_WORTH_USD)

    def supply(self, name: str) -> float | None:
        """In the asset. Providers write 0 for one they do not know."""
        return self._kept(name, lambda value: 0 <= value <= MOST_SUPPLY) or None

    def change(self, name: str) -> float | None:
        """Written in per cent; 0.01 is 1 %."""
        value = self._kept(name, lambda value: -100 <= value <= MOST_CHANGE)
        return None if value is None else value / 100

    def rank(self, name: str) -> int | None:
        """From 1 on."""
        value = self._row.get(name)
        if value is None:
            return None
        rank = whole(value)
        if not rank:
            self._dropped.append(name)
        return rank or None

    def time(self, name: str) -> int | None:
        """ISO 8601 with a zone, as microseconds."""
        value = self._row.get(name)
        if value is None or value == "":
            return None
        moment = moment_us(value)
        if moment is None:
            self._dropped.append(name)
        return moment

    def _kept(self, name: str, sensible: Callable[[float], bool]) -> float | None:
        value = self._row.get(name)
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        except OverflowError:
            number = None
        if number is None or not isfinite(number) or not sensible(number):
            self._dropped.append(name)
            return None
        return number


def moment_us(value: object) -> int | None:
    """``2013-07-05T00:00:00.000Z`` in microseconds; None when it is no moment since there are coins."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return from_datetime(moment) if moment and 2008 < moment.year < 2200 else None
    except (ValueError, OverflowError):
        return None


def day(value: object) -> date | None:
    """The UTC day of a moment, or of ``2013-07-05``; None when it is none since there are coins."""
    if not isinstance(value, str):
        return None
    try:
        found = date.fromisoformat(value[:10])
    except ValueError:
        return None
    return found if 2008 < found.year < 2200 else None
