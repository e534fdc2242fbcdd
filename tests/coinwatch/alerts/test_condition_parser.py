"""Conditions and terms from JSON and back, and the errors of invalid ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coinwatch.alerts import Quiet, Terms
from coinwatch.alerts.condition_parser import (
    EXAMPLES,
    fields_of,
    read_condition,
    read_terms,
    terms_fields,
)
from coinwatch.alerts.field_parsers import InvalidField, read_duration
from coinwatch.times import SECOND_US

ABOVE = read_condition({"type": "above", "price": 1.0})
EITHER = read_condition({"type": "crosses", "price": 1.0})
NOW_US = 1_800_000_000 * SECOND_US


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_condition_is_parsed_and_written_as_json(kind: str) -> None:
    condition = read_condition(json.loads(EXAMPLES[kind]))
    assert fields_of(condition)["type"] == kind
    assert read_condition(json.loads(json.dumps(fields_of(condition)))) == condition
    assert condition.phrase()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"type": "change", "percent": 0, "within": "15m"}, "bad_percent"),
        ({"type": "change", "percent": 5, "within": "0m"}, "bad_within"),
        ({"type": "change", "percent": 5, "within": "soon"}, "bad_within"),
        ({"type": "change", "percent": 5}, "missing_field"),
        ({"type": "change", "percent": 5, "within": "15m", "direction": "up"}, "bad_direction"),
        ({"type": "above", "price": 1, "source": "candle"}, "bad_interval"),
        ({"type": "above", "price": 1, "interval": "1h"}, "bad_interval"),
        ({"type": "above", "price": 1, "source": "candle", "interval": "2h"}, "bad_interval"),
        ({"type": "spread", "exchanges": ["kraken"], "percent": 1}, "bad_exchanges"),
        ({"type": "spread", "exchanges": ["kraken", "kraken"], "percent": 1}, "bad_exchanges"),
        ({"type": "ma_cross", "fast": 50, "slow": 20, "interval": "1h"}, "bad_fast"),
        ({"type": "volume", "over": "1h", "times": 3, "usual": "1h"}, "bad_usual"),
        ({"type": "rsi", "level": 101, "direction": "above", "interval": "1h"}, "bad_level"),
        ({"type": "all", "of": []}, "bad_condition"),
        ({"type": "all", "of": [{"type": "any", "of": [{"type": "all", "of": [1]}]}]}, "bad_condition"),
        ({"type": "any", "of": [{"type": "above"}]}, "missing_field"),
        ({"type": "gap", "for": "1m"}, "unknown_field"),
    ],
)
def test_invalid_conditions_have_an_error_code(sent: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_condition(sent)
    assert caught.value.code == code
    assert caught.value.hint


def test_terms_are_parsed_and_written_as_json() -> None:
    sent = {
        "repeat": "candle",
        "candle": "1h",
        "holds_for": "5m",
        "cooldown": 90,
        "expires": "7d",
        "quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Europe/Berlin"},
        "template": "{symbol} at {price}",
        "hysteresis": 0.5,
        "confirmed_on": 2,
    }
    terms = read_terms(sent, ABOVE, NOW_US)
    assert terms.expires_at_us == NOW_US + 7 * 86_400 * SECOND_US
    written = terms_fields(terms)
    assert (written["cooldown"], written["quiet_hours"]) == ("90s", sent["quiet_hours"])
    assert read_terms(written, ABOVE) == terms
    assert terms_fields(Terms()) == {}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"repeat": "candle"}, "bad_repeat"),
        ({"candle": "1h"}, "bad_repeat"),
        ({"hysteresis": -1}, "bad_hysteresis"),
        ({"expires": 5}, "bad_expires"),
        ({"expires": "2020-01-01T00:00:00Z"}, "bad_expires"),
        ({"quiet_hours": {"from": "22:00", "to": "22:00"}}, "bad_quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "7"}}, "bad_quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Mars/Base"}}, "bad_quiet_hours"),
        ({"template": "{password}"}, "bad_template"),
        ({"template": "{price:>10000000}"}, "bad_template"),
        ({"template": "{0}"}, "bad_template"),
        ({"confirmed_on": 0}, "bad_confirmed_on"),
    ],
)
def test_invalid_terms_have_an_error_code(sent: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_terms(sent, ABOVE, NOW_US)
    assert caught.value.code == code


def test_a_momentary_condition_cannot_hold() -> None:
    with pytest.raises(InvalidField, match="cannot hold"):
        read_terms({"holds_for": "1m"}, EITHER, NOW_US)


def test_durations() -> None:
    durations = ["90s", "15m", "24h", "7d", 900, "1W"]
    assert [read_duration(duration, "for") for duration in durations] == [
        90,
        900,
        86_400,
        604_800,
        900,
        604_800,
    ]


def test_quiet_hours_over_midnight_and_a_change_of_clocks() -> None:
    quiet = Quiet(from_minute=22 * 60, to_minute=7 * 60)
    day_us = 1_800_000_000 * SECOND_US // (86_400 * SECOND_US) * 86_400 * SECOND_US
    hour_us = 3_600 * SECOND_US
    assert quiet.until_us(day_us + 21 * hour_us) is None
    assert quiet.until_us(day_us + 23 * hour_us) == day_us + 31 * hour_us
    assert quiet.until_us(day_us + 31 * hour_us) is None
