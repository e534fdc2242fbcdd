"""When the daemon builds the candles of which minutes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coinwatch.times import MINUTE_US, SECOND_US
from coinwatch.windows import Window
from ingest_daemon.storage.minute_candles import CATCH_UP_US, LATE_US, due, seconds_to_next

NOON_US = 20_000 * 1_440 * MINUTE_US + 720 * MINUTE_US


def test_a_minute_is_built_two_seconds_after_its_end() -> None:
    assert due(NOON_US, NOON_US + MINUTE_US + LATE_US - 1) is None
    assert due(NOON_US, NOON_US + MINUTE_US + LATE_US) == Window(NOON_US, NOON_US + MINUTE_US)


def test_minutes_missed_in_an_outage_are_built_afterwards() -> None:
    now_us = NOON_US + 5 * MINUTE_US + 30 * SECOND_US
    assert due(NOON_US, now_us) == Window(NOON_US, NOON_US + 5 * MINUTE_US)
    assert due(NOON_US - 10**12, now_us) == Window(
        NOON_US + 5 * MINUTE_US - CATCH_UP_US, NOON_US + 5 * MINUTE_US
    )


@given(now_us=st.integers(NOON_US, NOON_US + 10 * MINUTE_US), done=st.integers(-30, 12))
def test_each_wait_ends_when_a_minute_is_due(now_us: int, done: int) -> None:
    wait_s = seconds_to_next(now_us)
    assert 0 < wait_s <= 60
    then_us = now_us + round(wait_s * SECOND_US)
    window = due(then_us - LATE_US - MINUTE_US, then_us)
    assert window is not None
    assert window.end_us == then_us - LATE_US
    window = due(NOON_US + done * MINUTE_US, now_us)
    assert window is None or window.end_us + LATE_US <= now_us
