"""Fields of provider answers, each decoded on its own."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from coinwatch.errors import BadMessage
from sources.providers.lenient_fields import Fields, day, json_of, moment_us, text, url, whole


def test_json_may_have_nan_but_must_be_json() -> None:
    assert json_of("x", b'{"a":NaN}')["a"] != 1
    with pytest.raises(BadMessage, match="not JSON"):
        json_of("x", b"<html>")


def test_text_is_what_postgres_accepts() -> None:
    assert text(" a\0b\ud800 ") == "ab?"
    assert [text(value) for value in ("", " \0", None, 5)] == [None] * 4
    assert len(text("x" * 50_000) or "") == 20_000


def test_urls_are_http_or_https() -> None:
    assert url("HTTPS://example.org") == "HTTPS://example.org"
    assert [url(value) for value in ("javascript:alert(1)", "example.org", None)] == [None] * 3


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), (0, 0), (-1, None), (2**31, None), (True, None), (1.5, None)]
)
def test_whole_numbers_fit_an_integer_column(value: object, number: int | None) -> None:
    assert whole(value) == number


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("price", 0, None),
        ("price", 1e-9, 1e-9),
        ("price", float("nan"), None),
        ("price", 10**400, None),
        ("worth", 0, None),
        ("volume", 0, 0.0),
        ("supply", -1, None),
        ("change", 50, 0.5),
        ("change", -101, None),
        ("rank", 0, None),
        ("rank", "3", 3),
        ("time", "1999-01-01T00:00:00Z", None),
    ],
)
def test_implausible_values_are_none(kind: str, value: Any, result: float | None) -> None:
    assert getattr(Fields({"field": value}), kind)("field") == result


def test_dropped_fields_are_listed_and_unknown_ones_are_not() -> None:
    fields = Fields({"bad": -1, "unknown": None, "empty": ""})
    assert (fields.price("bad"), fields.price("unknown"), fields.time("empty"), fields.rank("none")) == (
        None,
    ) * 4
    assert fields.dropped == ("bad",)


def test_times_and_days_are_of_the_age_of_crypto() -> None:
    assert moment_us("2013-07-05T00:00:00.000Z") == 1_372_982_400_000_000
    assert [moment_us(value) for value in ("2013-07-05T00:00:00", "soon", 5, "0001-01-01T00:00:00Z")] == [
        None
    ] * 4
    assert day("2013-07-05T10:00:00Z") == date(2013, 7, 5)
    assert [day(value) for value in ("1999-01-01", "soon", None)] == [None] * 3
