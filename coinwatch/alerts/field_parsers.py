"""Parsers of single values as clients send them: numbers, durations, moments, choices. Pure: no I/O.

A bad value raises ``InvalidField`` with a code, a message and a hint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any

from coinwatch.alerts.texts import duration_text
from coinwatch.errors import CoinwatchError
from coinwatch.times import SECOND_US, from_datetime

MAX_SHOWN = 60
DAY_S = 86_400
MIN_WINDOW_S = 5
MAX_WINDOW_S = 366 * DAY_S
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that Postgres cannot store as text."""

DURATION = re.compile(r"(\d{1,9})\s*(s|sec|m|min|h|d|w)", re.IGNORECASE)
_UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
_EXCHANGE = re.compile(r"[a-z][a-z0-9_]{1,29}")
_JOB = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")

Parse = Callable[[Any, str], Any]
"""Takes a value and the name of its field; raises InvalidField."""


class InvalidField(CoinwatchError):
    """A value that is refused. ``code`` is for programs; ``hint`` describes a valid value."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def read_price(value: Any, name: str = "price") -> float:
    """Parse a price. Raises InvalidField."""
    return read_number(value, name, "a finite number above 0, like 70000 or 0.5")


def read_duration(value: Any, name: str, *, least_s: int = 1, longest_s: int = MAX_WINDOW_S) -> int:
    """Parse a duration, ``"15m"`` or a number of seconds, to seconds. Raises InvalidField."""
    hint = f'a duration from {duration_text(least_s)} to {duration_text(longest_s)}, like "15m" or 900'
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        if match is None:
            raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
        seconds = int(match[1]) * _UNITS_S[match[2].lower()]
    elif isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    else:
        seconds = value
    if not least_s <= seconds <= longest_s:
        raise InvalidField(f"bad_{name}", f"{name} is {shown(str(value))}", hint)
    return seconds


def read_moment(value: Any, name: str) -> int:
    """Parse a moment, ISO 8601 with its time zone or unix seconds, to microseconds. Raises InvalidField."""
    hint = 'ISO 8601 with its time zone, like "2026-12-01T00:00:00Z", or unix seconds'
    try:
        if isinstance(value, str):
            return from_datetime(datetime.fromisoformat(value.strip()))
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**11:
            return int(value * SECOND_US)
    except (ValueError, OverflowError):
        pass
    raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)


def refuse_unknown(fields: Mapping[str, Any], known: Collection[str], hint: str) -> None:
    """Raise InvalidField for the first of ``fields`` that is not ``known``."""
    for name in fields:
        if name not in known:
            raise InvalidField("unknown_field", f"unknown field {shown(name)}", hint)


def kind(value: Any) -> str:
    """Describe ``value`` for a person, in few words however long it is."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {shown(value)}"
        case int() if abs(value) > 10**30:
            return "a very large number"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object"


def shown(text: str) -> str:
    """``text`` in quotes, cut if it is long."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def read_number(
    value: Any, name: str, hint: str, *, above: float = 0, at_most: float = float("inf")
) -> float:
    """Parse a finite number over ``above`` and up to ``at_most``. Raises InvalidField."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    try:
        number = float(value)
    except OverflowError:
        raise InvalidField(f"bad_{name}", f"{name} is too large", hint) from None
    if not isfinite(number):
        raise InvalidField(f"bad_{name}", f"{name} is {'NaN' if number != number else 'infinite'}", hint)
    if not above < number <= at_most:
        raise InvalidField(f"bad_{name}", f"{name} is {number:g}", hint)
    return number


def number_parser(hint: str, *, above: float, at_most: float) -> Parse:
    """A parser of numbers over ``above`` and up to ``at_most``."""
    return lambda value, name: read_number(value, name, hint, above=above, at_most=at_most)


def duration_parser(least_s: int, longest_s: int) -> Parse:
    """A parser of durations within these bounds, in seconds."""
    return lambda value, name: read_duration(value, name, least_s=least_s, longest_s=longest_s)


def count_parser(least: int, most: int) -> Parse:
    """A parser of whole numbers within these bounds."""
    hint = f"a whole number, {least} to {most}"

    def read(value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
        return value

    return read


def choice_parser(choices: type[StrEnum]) -> Parse:
    """A parser of the values of an enumeration."""
    by_value = {choice.value: choice for choice in choices}
    hint = f"one of {', '.join(by_value)}"

    def read(value: Any, name: str) -> StrEnum:
        choice = by_value.get(value) if isinstance(value, str) else None
        if choice is None:
            raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
        return choice

    return read


def read_exchanges(value: Any, name: str) -> tuple[str, str]:
    """Parse a list of two exchange names. Raises InvalidField."""
    hint = 'two names of exchanges, like ["binance","kraken"]'
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    for exchange in value:
        if not isinstance(exchange, str) or not _EXCHANGE.fullmatch(exchange):
            raise InvalidField(f"bad_{name}", f"{name} has {kind(exchange)}", hint)
    return value[0], value[1]


def read_job(value: Any, name: str) -> str:
    """Parse the name of a Dagster job. Raises InvalidField."""
    if not isinstance(value, str) or not _JOB.fullmatch(value):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", 'the name of a job, like "candles"')
    return value
