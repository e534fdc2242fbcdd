"""Microseconds to datetimes and back, exactly."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.times import DAY_US, day_start_us, from_datetime, to_datetime, utc_day

INSTANTS = st.integers(0, 4_102_444_800_000_000)


@given(INSTANTS)
def test_round_trip_loses_nothing(ts_us: int) -> None:
    assert from_datetime(to_datetime(ts_us)) == ts_us


@given(INSTANTS)
def test_a_day_holds_its_moments(ts_us: int) -> None:
    day = utc_day(ts_us)
    assert to_datetime(ts_us).date() == day
    assert day_start_us(day) <= ts_us < day_start_us(day) + DAY_US


def test_other_zones_are_the_same_moment() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert from_datetime(noon.astimezone(timezone(timedelta(hours=5)))) == from_datetime(noon)
    assert utc_day(from_datetime(noon)) == date(2026, 1, 2)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        from_datetime(datetime(2026, 1, 2, 12))  # noqa: DTZ001  # the point of the test
