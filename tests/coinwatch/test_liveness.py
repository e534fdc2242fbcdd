from __future__ import annotations

import pytest

from coinwatch.liveness import AVERAGE_STALE_US, is_average_stale, is_silent, silent_after_us
from coinwatch.times import MINUTE_US, SECOND_US


@pytest.mark.parametrize(
    ("service", "age_s", "silent"),
    [("ingest", 10.0, False), ("ingest", 10.1, True), ("dagster", 300.0, False), ("dagster", 300.1, True)],
)
def test_a_service_is_silent_after_the_limit_of_its_kind(service: str, age_s: float, silent: bool) -> None:
    assert is_silent(service, age_s) is silent


@pytest.mark.parametrize(
    ("mean_interval_us", "after_us"),
    [
        (None, 30 * SECOND_US),
        (SECOND_US, 30 * SECOND_US),
        (6 * SECOND_US, 60 * SECOND_US),
        (MINUTE_US, 10 * MINUTE_US),
        (60 * MINUTE_US, 15 * MINUTE_US),
    ],
)
def test_a_market_is_silent_by_its_own_rate_within_bounds(
    mean_interval_us: int | None, after_us: int
) -> None:
    assert silent_after_us(mean_interval_us) == after_us


def test_an_average_is_stale_from_the_limit_on() -> None:
    assert not is_average_stale(0, AVERAGE_STALE_US - 1)
    assert is_average_stale(0, AVERAGE_STALE_US)
