from __future__ import annotations

from datetime import UTC
from math import inf, nan
from zoneinfo import ZoneInfo

import pytest

from coinwatch import formats
from coinwatch.times import SECOND_US, to_datetime


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (67_123.45, "67,123.45"),
        (1_234_567.891, "1,234,567.89"),
        (142.353, "142.35"),
        (99.99951, "99.9995"),
        (2.4312, "2.4312"),
        (0.52341, "0.52341"),
        (0.00001234, "0.00001234"),
        (0.000000056789, "0.00000005679"),
        (0.0, "0.00"),
        (-3.5, "\N{MINUS SIGN}3.5000"),
        (None, "—"),
        (nan, "—"),
        (inf, "—"),
    ],
)
def test_price(value: float | None, text: str) -> None:
    assert formats.price(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_234_000_000, "1.2 B"),
        (999_970_000, "1.0 B"),
        (345_600_000, "345.6 M"),
        (12_345, "12.3 K"),
        (999.99, "1.0 K"),
        (999.4, "999.4"),
        (3.14159, "3.14"),
        (2.5e12, "2.5 T"),
        (0, "0.00"),
        (None, "—"),
    ],
)
def test_compact(value: float | None, text: str) -> None:
    assert formats.compact(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0123, "+1.23 %"),
        (-0.0045, "\N{MINUS SIGN}0.45 %"),
        (0.00001, "0.00 %"),
        (-0.00001, "0.00 %"),
        (12.5, "+1,250.00 %"),
        (None, "—"),
        (nan, "—"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0 s"),
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3 * 60, "3 min"),
        (59.6 * 60, "1.0 h"),
        (2.5 * 3600, "2.5 h"),
        (4 * 86_400, "4 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert formats.duration(round(seconds * SECOND_US)) == text


def test_ages_and_times() -> None:
    at_us = 1_795_176_000 * SECOND_US
    assert formats.age(at_us - 400_000, at_us) == "0.4 s ago"
    assert formats.age(at_us + 400_000, at_us) == "0.0 s ago"
    assert formats.age(None, at_us) == "—"
    assert formats.clock(at_us) == "12:00:00 UTC"
    assert formats.moment(at_us) == formats.moment(to_datetime(at_us)) == "20 Nov 2026, 12:00:00 UTC"


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names(items: list[str], text: str) -> None:
    assert formats.names(items) == text


@pytest.mark.parametrize(
    ("value", "words"), [(1.23, "+1.2 bp"), (-0.04, "0.0 bp"), (-12.3, "\N{MINUS SIGN}12.3 bp"), (None, "—")]
)
def test_basis_points(value: float | None, words: str) -> None:
    assert formats.basis_points(value) == words


def test_times_in_the_zone_of_the_viewer() -> None:
    noon_us = 1_795_176_000 * SECOND_US
    assert formats.local(noon_us, UTC) == "20 Nov 2026, 12:00:00 UTC"
    assert formats.local(noon_us, ZoneInfo("Asia/Tokyo"), seconds=False) == "20 Nov 2026, 21:00"
    assert formats.share(0.1234) == "12.3 %"
    assert formats.share(None) == "—"


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (None, "—"),
        (12, "12 B"),
        (2_500_000, "2.5 MB"),
        (20e9, "20.0 GB"),
        (999_999_999, "1.0 GB"),
        (3e12, "3.0 TB"),
    ],
)
def test_sizes_of_files(length: float | None, expected: str) -> None:
    assert formats.size(length) == expected


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.25, 2, "+0.25"), (-0.1, 2, "\N{MINUS SIGN}0.10"), (0.001, 2, "0.00"), (6, 0, "+6")],
)
def test_signed_numbers(value: float, decimals: int, text: str) -> None:
    assert formats.signed(value, decimals) == text
