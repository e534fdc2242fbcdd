"""What the address of ``/prices`` can contain."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.access.refusals import RequestRefused
from app.alerts.price_stream.request import PriceRequest, moment, read_request
from coinwatch.times import SECOND_US

NOW_US = 1_767_225_600 * SECOND_US


def test_all_that_may_be_asked() -> None:
    path = "/prices?currency=USD&currency=eur&since_date=1705938898&symbol=eth&interval=60&meta=1"
    assert read_request(path, NOW_US) == PriceRequest(
        base="ETH",
        currencies=("USD", "EUR"),
        interval_us=60 * SECOND_US,
        since_us=1_705_938_900 * SECOND_US,
        has_meta=True,
    )


def test_what_is_left_out() -> None:
    assert read_request("/prices?currency=USD", NOW_US) == PriceRequest(
        base="BTC", currencies=("USD",), interval_us=5 * SECOND_US, since_us=None, has_meta=False
    )


@pytest.mark.parametrize(
    "text",
    [
        "1705938900",
        "1705938899.5",
        "1705938895.000001",
        "2024-01-22T15:55:00Z",
        "2024-01-22T15:55:00",
        "2024-01-22 15:55",
        "2024-01-22T17:55:00+02:00",
        "2024-01-22T10:55:00-05:00",
    ],
)
@pytest.mark.parametrize("encode", [True, False])
def test_spellings_of_one_time(text: str, encode: bool) -> None:
    field = urlencode({"since_date": text}) if encode else f"since_date={text}"
    assert read_request(f"/prices?currency=USD&{field}", NOW_US).since_us == 1_705_938_900 * SECOND_US


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_field"),
        ("since_date=1705938898", "missing_field"),
        ("currency=USD&curency=EUR", "unknown_field"),
        ("currency=USD&currency=usd", "bad_currency"),
        ("currency=%F0%9F%92%A9", "bad_currency"),
        ("currency=" + "&currency=".join(f"A{number}" for number in range(21)), "bad_currency"),
        ("currency=USD&symbol=BTC-USDT", "bad_symbol"),
        ("currency=USD&symbol=BTC&symbol=ETH", "bad_field"),
        *(
            (f"currency=USD&interval={bad}", "bad_interval")
            for bad in ("0", "-5", "1.5", "86401", "x", "", "NaN", "1e3", "9" * 50)
        ),
        *(
            (f"currency=USD&since_date={bad}", "bad_since_date")
            for bad in (
                *("", "NaN", "inf", "-1", "1e999", "yesterday", "1705938898000", "2026-13-01"),
                *("1969-12-31T23:59:59Z", "9" * 400, "2999-01-01", "%00"),
            )
        ),
        ("currency=USD&meta=yes", "bad_meta"),
    ],
)
def test_invalid_requests_are_refused(query: str, code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_request(f"/prices?{query}", NOW_US)
    assert refused.value.refused.code == code


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for name in ("currency", "since_date", "symbol", "interval", "meta"):
        query = urlencode({"currency": "USD", name: text})
        with suppress(RequestRefused):
            request = read_request(f"/prices?{query}", NOW_US)
            assert request.since_us is None or moment(request.since_us)
    with suppress(RequestRefused):
        read_request(f"/prices?{text}", NOW_US)
