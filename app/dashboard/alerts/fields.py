"""The fields of the alert form: those of each condition, and the terms. Pure: no I/O.

The form is drawn from these descriptions, checks their bounds, and passes the rest to
``coinwatch.alerts.condition_parser`` under the names of the alert protocol.
"""

from __future__ import annotations

from collections.abc import Mapping

from coinwatch.alerts.conditions import Declaration, singles
from coinwatch.alerts.conditions.fields import INTERVALS, Field, Kind

CONDITIONS: Mapping[str, Declaration] = singles()
"""The conditions of the form, by their type in the protocol."""

REPEAT = Field(
    "Fires",
    Kind.CHOICE,
    name="repeat",
    start="once",
    choices={"once": "once", "every": "every time", "candle": "once per candle"},
    hint="Every time: each time the condition is met again, after it was not met.",
)
REPEATING: tuple[Field, ...] = (
    Field(
        "Candle interval",
        Kind.CHOICE,
        name="candle",
        start="1h",
        choices=INTERVALS,
        only_with={"repeat": "candle"},
    ),
    Field(
        "Hysteresis",
        Kind.NUMBER,
        name="hysteresis",
        start=0.0,
        low=0,
        high=50,
        step=0.1,
        optional=True,
        hint="How far it must move back before it can fire again: percent of a price, else in the unit of "
        "the condition.",
    ),
    Field(
        "Cooldown",
        Kind.DURATION,
        name="cooldown",
        usual=("1m", "5m", "15m", "1h", "1d"),
        optional=True,
        hint="How long it does not fire again after it has fired.",
    ),
)
"""The terms of a rule that can fire more than once."""

QUIET = "quiet_hours"
MORE: tuple[Field, ...] = (
    Field(
        "Holds for",
        Kind.DURATION,
        name="holds_for",
        usual=("10s", "1m", "5m", "15m", "1h"),
        optional=True,
        hint="How long the condition must be met without a break before the alert fires.",
    ),
    Field(
        "Exchanges at once",
        Kind.COUNT,
        name="confirmed_on",
        start=1,
        optional=True,
        hint="On how many exchanges the condition must be met at the same time.",
    ),
    Field(
        "Expires",
        Kind.DURATION,
        name="expires",
        usual=("1d", "7d", "30d", "90d"),
        optional=True,
        hint="After a duration such as 7d, or at a moment such as 2027-01-31T12:00Z.",
    ),
    Field(
        "Message",
        Kind.TEXT,
        name="template",
        optional=True,
        hint="Replaces the standard message. Placeholders: {symbol}, {exchange}, {price}, {value}, {time}, "
        "{note} and {condition}.",
    ),
)
"""The terms that few rules need."""

SNOOZES = {
    "Snooze 1 hour": 3_600,
    "Snooze 8 hours": 8 * 3_600,
    "Snooze 1 day": 86_400,
    "Snooze 1 week": 7 * 86_400,
}


def can_hold(condition: Mapping[str, object]) -> bool:
    """Whether this condition, as JSON, lasts: only then can it hold or be confirmed."""
    return not CONDITIONS[str(condition["type"])].is_momentary(condition)
