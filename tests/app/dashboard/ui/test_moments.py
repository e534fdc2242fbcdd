from __future__ import annotations

from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.ui import moments
from coinwatch.errors import CoinwatchError
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US

NOON_US = 1_795_176_000 * SECOND_US


@pytest.mark.parametrize(
    ("raw", "expected_us"),
    [
        ("", None),
        ("now", None),
        ("11:30", NOON_US - 30 * MINUTE_US),
        ("12:30", NOON_US + 30 * MINUTE_US - DAY_US),
        ("2026-11-20 11:59:58", NOON_US - 2 * SECOND_US),
        ("2026-11-20T11:59:58Z", NOON_US - 2 * SECOND_US),
        ("2026-11-20T12:59:58+01:00", NOON_US - 2 * SECOND_US),
    ],
)
def test_a_moment_is_understood_in_any_usual_spelling(raw: str, expected_us: int | None) -> None:
    assert moments.parse(raw, NOON_US) == expected_us


def test_a_moment_without_a_zone_is_the_viewers() -> None:
    assert (
        moments.parse("2026-11-20 12:30", NOON_US, timezone(timedelta(hours=1))) == NOON_US - 30 * MINUTE_US
    )


@pytest.mark.parametrize("raw", ["yesterday", "25:00", "<b>", "2027-01-01 00:00", "9999-99-99"])
def test_malformed_and_future_times_are_refused(raw: str) -> None:
    with pytest.raises(CoinwatchError, match="time"):
        moments.parse(raw, NOON_US)


@given(st.text(max_size=30))
def test_a_moment_is_read_or_refused(raw: str) -> None:
    try:
        at_us = moments.parse(raw, NOON_US)
    except CoinwatchError:
        return
    assert at_us is None or at_us <= NOON_US + MINUTE_US


@given(
    st.integers(NOON_US // SECOND_US - 10**9, NOON_US // SECOND_US), st.sampled_from(["UTC", "Asia/Kolkata"])
)
def test_a_moment_as_shown_is_read_as_the_same(at_s: int, name: str) -> None:
    at_us, zone = at_s * SECOND_US, ZoneInfo(name)
    assert moments.parse(moments.iso(at_us), NOON_US, zone) == at_us
    assert moments.parse(moments.as_typed(at_us, zone), NOON_US, zone) == at_us


def test_an_address_is_retyped_for_the_viewer() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moments.retyped("2026-11-20T09:05:00Z", NOON_US, berlin) == "2026-11-20 10:05"
    assert moments.retyped("now", NOON_US, berlin) == ""
    assert moments.retyped("<b>", NOON_US, berlin) == "<b>"
