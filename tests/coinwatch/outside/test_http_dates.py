"""HTTP headers that carry times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from coinwatch.outside.http_dates import LONGEST_WAIT_S, http_date, retry_after_s

FAR = "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"
NOW = datetime(2025, 11, 11, 0, 17, 4, tzinfo=UTC)


@pytest.mark.parametrize("text", ["Tue, 11 Nov 2025 00:17:04 GMT", "Tue, 11 Nov 2025 00:17:04 -0000"])
def test_a_date_is_parsed_as_utc(text: str) -> None:
    assert http_date(text) == NOW


@pytest.mark.parametrize("text", [None, "", "soon", "Tue, 99 Nov 2025 00:17:04 GMT", "1e400", FAR])
def test_an_invalid_date_is_none(text: str | None) -> None:
    assert http_date(text) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, LONGEST_WAIT_S),
        ("Fri, 31 Dec 9999 23:59:59 -1400", LONGEST_WAIT_S),
        ("Tue, 11 Nov 2025 00:17:14 GMT", 10.0),
        ("Tue, 11 Nov 2025 00:16:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert retry_after_s(header, NOW) == seconds


@pytest.mark.parametrize("header", [None, "", "-5", "1.5", "soon", "٣"])
def test_an_invalid_retry_after_is_none(header: str | None) -> None:
    assert retry_after_s(header, NOW + timedelta(days=1)) is None
