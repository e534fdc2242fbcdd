"""Lenient decoding of provider answers, field by field: an implausible value affects no other field.

Providers of fundamentals answer with lists of hundreds of coins, some of them abandoned or fake, with
prices of 0, negative market caps or supplies of 1e60. Pure: no I/O.
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
"""More than ten times the wealth of the world."""
MOST_SUPPLY = 1e33
MOST_CHANGE = 1e7
_MOST_TEXT = 20_000
_MOST_NAME = 200


def json_of(source: str, body: bytes) -> Any:
    """Parse JSON, including ``NaN`` and ``Infinity``, which some providers send. Raises BadMessage."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage(source, f"the answer is not JSON: {error}", body) from error


def text(value: object) -> str | None:
    """``value`` as text that Postgres accepts; None when it is empty or not text."""
    if not isinstance(value, str):
        return None
    clean = value[:_MOST_TEXT].replace("\0", "").encode("utf-8", "replace").decode().strip()
    return clean or None


def name(value: object) -> str | None:
    """``value`` as the name, the ticker or the id of something; None when it is too long for any of them."""
    clean = text(value)
    return clean if clean and len(clean) <= _MOST_NAME else None


def url(value: object) -> str | None:
    """``value`` if it is an HTTP or HTTPS URL, else None."""
    clean = text(value)
    return clean if clean and clean.lower().startswith(("https://", "http://")) else None


def whole(value: object) -> int | None:
    """``value`` if it is an integer, or the text of one, from 0 to below 2**31; else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**31 else None


class Page(msgspec.Struct, frozen=True):
    """The decoded part of an answer."""

    coins: list[CoinMetrics]
    unreadable: int
    """The number of entries without an id."""


class Fields:
    """The numbers and times of one coin. An implausible value is None and listed in ``dropped``."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self._dropped: list[str] = []

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the fields with implausible values."""
        return tuple(self._dropped)

    def price(self, name: str) -> float | None:
        """In USD, above 0."""
        return self._kept(name, lambda value: 0 < value <= MOST_PRICE_USD)

    def worth(self, name: str) -> float | None:
        """A market cap in USD; None for 0, which providers use for unknown."""
        return self._kept(name, lambda value: 0 <= value <= MOST_WORTH_USD) or None

    def volume(self, name: str) -> float | None:
        """In USD, from 0."""
        return self._kept(name, lambda value: 0 <= value <= MOST_WORTH_USD)

    def supply(self, name: str) -> float | None:
        """In units of the asset; None for 0, which providers use for unknown."""
        return self._kept(name, lambda value: 0 <= value <= MOST_SUPPLY) or None

    def change(self, name: str) -> float | None:
        """A percentage as a fraction: 1 % is 0.01."""
        value = self._kept(name, lambda value: -100 <= value <= MOST_CHANGE)
        return None if value is None else value / 100

    def rank(self, name: str) -> int | None:
        """A rank from 1."""
        value = self._row.get(name)
        if value is None:
            return None
        rank = whole(value)
        if not rank:
            self._dropped.append(name)
        return rank or None

    def time(self, name: str) -> int | None:
        """An ISO 8601 time with a zone, in microseconds."""
        value = self._row.get(name)
        if value is None or value == "":
            return None
        moment = moment_us(value)
        if moment is None:
            self._dropped.append(name)
        return moment

    def _kept(self, name: str, is_plausible: Callable[[float], bool]) -> float | None:
        value = self._row.get(name)
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        except OverflowError:
            number = None
        if number is None or not isfinite(number) or not is_plausible(number):
            self._dropped.append(name)
            return None
        return number


def moment_us(value: object) -> int | None:
    """Convert ``2013-07-05T00:00:00.000Z`` to microseconds; None for an invalid time or one before 2009."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return from_datetime(moment) if moment and 2008 < moment.year < 2200 else None
    except (ValueError, OverflowError):
        return None


def day(value: object) -> date | None:
    """The date that ``2013-07-05`` or a time starts with; None for an invalid date or one before 2009."""
    if not isinstance(value, str):
        return None
    try:
        parsed = date.fromisoformat(value[:10])
    except ValueError:
        return None
    return parsed if 2008 < parsed.year < 2200 else None
