"""Parsers of the terms that need more than one rule: expiry, quiet hours, message template. Pure: no I/O."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from coinwatch.alerts.field_parsers import (
    DAY_S,
    DURATION,
    UNSTORABLE,
    InvalidField,
    duration_parser,
    kind,
    number_parser,
    read_duration,
    read_moment,
    refuse_unknown,
    shown,
)
from coinwatch.alerts.rules import PLACEHOLDERS, Quiet, fill_template
from coinwatch.times import DAY_US, SECOND_US

MAX_TEMPLATE_LENGTH = 500

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

read_hysteresis = number_parser("a number from 0 to 50, like 0.5", above=-1e-300, at_most=50)
read_term_duration = duration_parser(1, 31 * DAY_S)


def read_expires(value: Any, now_us: int | None) -> int:
    """Parse when a rule ends: a future moment, or a duration from ``now_us`` on. Raises InvalidField.

    ``now_us`` is None for a stored rule: its moment may be past.
    """
    if now_us is None:
        return read_moment(value, "expires")
    if isinstance(value, str) and DURATION.fullmatch(value.strip()):
        return now_us + read_duration(value, "expires") * SECOND_US
    moment_us = read_moment(value, "expires")
    if not now_us < moment_us < now_us + 3_660 * DAY_US:
        raise InvalidField(
            "bad_expires", f"expires is {kind(value)}", "a future moment, or a duration like 7d"
        )
    return moment_us


def read_quiet(value: Any, name: str) -> Quiet:
    """Parse quiet hours: ``from``, ``to`` and a time zone. Raises InvalidField."""
    example = '{"from":"22:00","to":"07:00","tz":"Europe/Berlin"}'
    if not isinstance(value, dict):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", f"an object like {example}")
    refuse_unknown(value, {"from", "to", "tz"}, f"{name} is like {example}")
    minutes = []
    for end in ("from", "to"):
        match = _TIME_OF_DAY.fullmatch(value[end]) if isinstance(value.get(end), str) else None
        if match is None:
            raise InvalidField(f"bad_{name}", f"{name}: {end} is {kind(value.get(end))}", f"like {example}")
        minutes.append(int(match[1]) * 60 + int(match[2]))
    if minutes[0] == minutes[1]:
        raise InvalidField(f"bad_{name}", f"{name} cover the whole day", "snooze the rule instead")
    zone = value.get("tz", "UTC")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, TypeError, OSError, AttributeError):
        raise InvalidField(f"bad_{name}", f"{name}: tz is {kind(zone)}", 'a time zone, like "UTC"') from None
    return Quiet(minutes[0], minutes[1], zone)


def read_template(value: Any, name: str) -> str:
    """Parse a message template; every placeholder must be known. Raises InvalidField."""
    known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
    hint = f"a text of at most {MAX_TEMPLATE_LENGTH} characters, with any of {known}"
    if not isinstance(value, str):
        raise InvalidField(f"bad_{name}", f"{name} is {kind(value)}", hint)
    if not value.strip() or len(value) > MAX_TEMPLATE_LENGTH or UNSTORABLE.search(value):
        raise InvalidField(f"bad_{name}", f"{name} is empty, too long, or contains NUL", hint)
    try:
        fill_template(value, dict.fromkeys(PLACEHOLDERS, ""))
    except KeyError as unknown:
        named = shown("{" + str(unknown.args[0]) + "}")
        raise InvalidField(f"bad_{name}", f"{name} has an unknown placeholder {named}", hint) from None
    except ValueError:
        message = f"{name} has a brace outside a placeholder"
        raise InvalidField(f"bad_{name}", message, f"{hint}; double a brace to print it") from None
    return value
