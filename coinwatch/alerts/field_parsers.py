"""Single values as people send them, read: numbers, lengths of time, moments, choices, texts.

Nonsense is said to be so, by a code, a message, a hint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from coinwatch.alerts.rules import PLACEHOLDERS, Quiet, fill_template
from coinwatch.alerts.texts import duration_text
from coinwatch.errors import CoinwatchError
from coinwatch.times import DAY_US, SECOND_US, from_datetime

MAX_SHOWN = 60
MAX_TEMPLATE_LENGTH = 500
DAY_S = 86_400
LONGEST_WINDOW_S = 366 * DAY_S
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_DURATION = re.compile(r"(\d{1,9})\s*(s|sec|m|min|h|d|w)", re.IGNORECASE)
_UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_EXCHANGE = re.compile(r"[a-z][a-z0-9_]{1,29}")
_JOB = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


class InvalidField(CoinwatchError):
    """What was sent cannot be meant. ``code`` is for programs, ``hint`` says what would be right."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def read_price(value: Any, name: str = "price") -> float:
    """A price that a trade can have. Raises Nonsense."""
    return read_number(value, name, "a finite number above 0, like 70000 or 0.5")


def read_duration(value: Any, name: str, *, least_s: int = 1, longest_s: int = LONGEST_WINDOW_S) -> int:
    """A length of time in seconds, from ``"15m"`` or a number of seconds. Raises Nonsense."""
    hint = f'a length of time from {duration_text(least_s)} to {duration_text(longest_s)}, like "15m" or 900'
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
        seconds = int(found[1]) * _UNITS_S[found[2].lower()]
    elif isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    else:
        seconds = value
    if not least_s <= seconds <= longest_s:
        raise InvalidField(f"bad_{name}", f"{name} is {shown(str(value))}", hint)
    return seconds


def read_moment(value: Any, name: str) -> int:
    """A moment in microseconds, from unix seconds or ISO 8601 with its zone. Raises Nonsense."""
    hint = 'ISO 8601 with its zone, like "2026-12-01T00:00:00Z", or unix seconds'
    try:
        if isinstance(value, str):
            return from_datetime(datetime.fromisoformat(value.strip()))
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**11:
            return int(value * SECOND_US)
    except (ValueError, OverflowError):
        pass
    raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)


def refuse_unknown(fields: Mapping[str, Any], known: Collection[str], hint: str) -> None:
    """Raise Nonsense for a field that is none of those known: a wish we do not know cannot be kept."""
    for name in fields:
        if name not in known:
            raise InvalidField("unknown_field", f"unknown field {shown(name)}", hint)


def kind(value: Any) -> str:
    """What ``value`` is, for a person, however long it may be."""
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
    """``text`` quoted, cut where it is long."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def read_number(
    value: Any, name: str, hint: str, *, above: float = 0, at_most: float = float("inf")
) -> float:
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


def read_percent(value: Any, name: str) -> float:
    return read_number(
        value, name, "a number of percent above 0, up to 10,000, like 5 or 0.5", at_most=10_000
    )


def read_level(value: Any, name: str) -> float:
    return read_number(value, name, "a number from -1 to 100, like 70", above=-1.000001, at_most=100)


def read_times(value: Any, name: str) -> float:
    return read_number(value, name, "how many times the usual, above 0, like 3", at_most=1e6)


def read_hysteresis(value: Any, name: str) -> float:
    hint = "a number of percent from 0 to 50, like 0.5"
    return read_number(value, name, hint, above=-1e-300, at_most=50)


def read_window(value: Any, name: str) -> int:
    return read_duration(value, name, least_s=5)


def read_rather_short(value: Any, name: str) -> int:
    return read_duration(value, name, longest_s=31 * DAY_S)


def read_count(least: int, most: int) -> Callable[[Any, str], int]:
    def read(value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidField(
                f"bad_{name}", f"{name} is {kind(value)}", f"a whole number, {least} to {most}"
            )
        return value

    return read


def read_choice(choices: type[StrEnum]) -> Callable[[Any, str], StrEnum]:
    def read(value: Any, name: str) -> StrEnum:
        if not isinstance(value, str) or value not in set(choices):
            raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", f"one of {', '.join(choices)}")
        return choices(value)

    return read


def read_exchanges(value: Any, name: str) -> tuple[str, str]:
    hint = 'two names of exchanges, like ["binance","kraken"]'
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    for one in value:
        if not isinstance(one, str) or not _EXCHANGE.fullmatch(one):
            raise InvalidField(f"bad_{name}", f"{name} has {kind(one)}", hint)
    return value[0], value[1]


def read_job(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _JOB.fullmatch(value):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", 'the name of a job, like "candles"')
    return value


def read_expires(value: Any, now_us: int | None) -> int:
    if now_us is None:
        return read_moment(value, "expires")
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return now_us + read_duration(value, "expires") * SECOND_US
    moment_us = read_moment(value, "expires")
    if not now_us < moment_us < now_us + 3_660 * DAY_US:
        raise InvalidField(
            "bad_expires", f"expires is {kind(value)}", "a moment to come, or a length like 7d"
        )
    return moment_us


def read_quiet(value: Any, name: str) -> Quiet:
    hint = '{"from":"22:00","to":"07:00","tz":"Europe/Berlin"}'
    if not isinstance(value, dict):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", f"an object like {hint}")
    refuse_unknown(value, {"from", "to", "tz"}, f"{name} is like {hint}")
    minutes = []
    for end in ("from", "to"):
        found = _TIME_OF_DAY.fullmatch(value[end]) if isinstance(value.get(end), str) else None
        if found is None:
            raise InvalidField(f"bad_{name}", f"{name}: {end} is {kind(value.get(end))}", f"like {hint}")
        minutes.append(int(found[1]) * 60 + int(found[2]))
    if minutes[0] == minutes[1]:
        raise InvalidField(f"bad_{name}", f"{name} are all day long", "snooze the rule instead")
    zone = value.get("tz", "UTC")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, TypeError, OSError, AttributeError):
        raise InvalidField(f"bad_{name}", f"{name}: tz is {kind(zone)}", 'a time zone, like "UTC"') from None
    return Quiet(minutes[0], minutes[1], zone)


def read_template(value: Any, name: str) -> str:
    known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
    hint = f"a text of at most {MAX_TEMPLATE_LENGTH} letters, with any of {known}"
    if not isinstance(value, str):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    if not value.strip() or len(value) > MAX_TEMPLATE_LENGTH or UNSTORABLE.search(value):
        raise InvalidField(f"bad_{name}", f"{name} is empty, too long, or has NUL in it", hint)
    try:
        fill_template(value, dict.fromkeys(PLACEHOLDERS, ""))
    except KeyError as unknown:
        named = shown("{" + str(unknown.args[0]) + "}")
        raise InvalidField(f"bad_{name}", f"{name} has an unknown placeholder {named}", hint) from None
    except ValueError:
        said = f"{name} has a brace that is no placeholder"
        raise InvalidField(f"bad_{name}", said, f"{hint}; a brace itself is doubled") from None
    return value
