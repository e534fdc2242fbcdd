"""Checks and time conversions of decoders."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan

import pytest

from coinwatch.errors import BadMessage
from sources.wire import LATEST_US, MAX_ID, bad_frame, is_trade, iso_us, read, seconds_us


@pytest.mark.parametrize(
    ("text", "ts_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2023-10-06T17:35:55.440295Z", 1_696_613_755_440_295),
        ("2023-10-06T19:35:55.440295+02:00", 1_696_613_755_440_295),
    ],
)
def test_iso_times_convert_to_microseconds(text: str, ts_us: int) -> None:
    assert iso_us(text) == ts_us


@pytest.mark.parametrize("text", ["soon", "2023-10-06T17:35:55"])
def test_an_iso_time_needs_a_date_and_a_zone(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        iso_us(text)


@pytest.mark.parametrize(("seconds", "ts_us"), [("1.5", 1_500_000), ("1762795433.9717445", 1762795433971744)])
def test_unix_seconds_convert_without_loss(seconds: str, ts_us: int) -> None:
    assert seconds_us(Decimal(seconds)) == ts_us


@pytest.mark.parametrize("seconds", ["0", "-1", "1e400"])
def test_impossible_unix_seconds_are_refused(seconds: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        seconds_us(Decimal(seconds))


@pytest.mark.parametrize(
    "numbers",
    [
        (-1, 1, 1.0, 1.0),
        (MAX_ID + 1, 1, 1.0, 1.0),
        (1, 0, 1.0, 1.0),
        (1, LATEST_US, 1.0, 1.0),
        (1, 1, 0.0, 1.0),
        (1, 1, inf, 1.0),
        (1, 1, 1.0, nan),
    ],
)
def test_impossible_numbers_are_no_trade(numbers: tuple[int, int, float, float]) -> None:
    assert is_trade(1, 1, 1.0, 1.0)
    assert not is_trade(*numbers)


def test_a_decoding_error_names_what_was_decoded() -> None:
    with pytest.raises(BadMessage, match="okx: tickers: invalid literal") as raised:
        read("okx", "tickers", int, b"x")
    assert raised.value.raw == b"x"
    assert bad_frame("okx", "too long", memoryview(b"x" * 1_000)).raw == b"x" * 200
