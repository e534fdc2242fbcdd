"""Decoding of CoinMarketCap, and access with a key and without."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.http import Patience
from sources.providers.coinmarketcap import (
    BASIC,
    KEYLESS,
    LISTED,
    coinmarketcap_http,
    decode_descriptions,
    decode_listings,
    descriptions_requests,
    error_in,
    listings_request,
    rate_limit,
)
from tests.sources.providers.test_coingecko import ANYTHING

LINK: dict[str, Any] = {
    "id": 1975,
    "name": "Chainlink",
    "symbol": "LINK",
    "slug": "chainlink",
    "cmc_rank": 12,
    "max_supply": 1_000_000_000,
    "circulating_supply": 678_099_970.45,
    "total_supply": 1_000_000_000,
    "platform": {
        "id": 1027,
        "slug": "ethereum",
        "token_address": "0x514910771AF9Ca656af840dff83E8264EcF986CA",
    },
    "last_updated": "2026-09-18T22:16:00.000Z",
    "quote": [
        {"symbol": "BTC", "price": 0.0003},
        {
            "symbol": "USD",
            "price": 21.5,
            "volume_24h": 612_000_000.5,
            "percent_change_1h": 0.1,
            "percent_change_24h": -2.5,
            "percent_change_7d": 7.0,
            "percent_change_30d": 12.0,
            "market_cap": 14_500_000_000.0,
            "fully_diluted_market_cap": 21_500_000_000.0,
            "last_updated": "2026-09-18T22:16:00.000Z",
        },
    ],
}
KEY = "b54bcf4d-1bca-4e8e-9a24-22ff2c3d462c"


def body_of(data: Any, code: Any = "0") -> bytes:
    return json.dumps({"status": {"error_code": code, "error_message": None}, "data": data}).encode()


def test_listings_decode_as_documented() -> None:
    (coin,) = decode_listings(body_of([LINK])).coins
    assert (coin.id, coin.symbol, coin.contract) == (
        "1975",
        "LINK",
        "0x514910771af9ca656af840dff83e8264ecf986ca",
    )
    metrics = coin.metrics
    assert (metrics.price_usd, metrics.rank, metrics.change_24h, metrics.ath_usd) == (21.5, 12, -0.025, None)
    assert metrics.fdv_usd == 21_500_000_000.0
    assert coin.dropped == ()


def test_implausible_and_missing_values_affect_only_themselves() -> None:
    broken = {**LINK, "id": 2, "cmc_rank": 0, "quote": [{"symbol": "USD", "price": 0, "market_cap": -3}]}
    page = decode_listings(body_of([broken, {**LINK, "id": 3, "quote": {}}, {"id": "x"}, LINK]))
    assert [(coin.id, coin.dropped) for coin in page.coins] == [
        ("2", ("cmc_rank", "price", "market_cap")),
        ("3", ()),
        ("1975", ()),
    ]
    assert page.unreadable == 1
    assert page.coins[1].metrics.circulating_supply == LINK["circulating_supply"]


def test_descriptions_decode_as_documented() -> None:
    rows: dict[str, Any] = {
        "1975": {
            "id": 1975,
            "description": " <p>Chainlink (<b>LINK</b>) is …\u0000</p><script>x()</script> ",
            "logo": "https://s2.coinmarketcap.com/static/img/coins/64x64/1975.png",
            "tag-names": ["Platform", "Oracles", "Some Fund Portfolio", "Oracles"],
            "tag-groups": ["PROPERTY", "CATEGORY", "PLATFORM", "CATEGORY"],
            "date_launched": "2017-09-19T00:00:00.000Z",
            "urls": {
                "website": ["https://chain.link/", "javascript:alert(1)", None],
                "source_code": [],
                "chat": None,
            },
        },
        "9": None,
        "10": {"id": 10, "urls": [], "tag-names": None, "date_launched": "soon"},
    }
    link, bare = decode_descriptions(body_of(rows))
    assert link.description == "Chainlink (LINK) is …"
    assert link.categories == ("Oracles",)
    assert link.links == {"website": ("https://chain.link/",)}
    assert link.launched_on == date(2017, 9, 19)
    assert (bare.description, bare.categories, bare.links, bare.launched_on) == (None, (), {}, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data":null}', b'{"data":7}', b"\xff{"])
def test_anything_else_is_a_bad_message(body: bytes) -> None:
    for decode in (decode_listings, decode_descriptions):
        with pytest.raises(BadMessage):
            decode(body)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(1, 99)}, optional=dict.fromkeys(set(LINK) - {"id"}, ANYTHING)
        )
    )
)
def test_any_row_is_decoded_or_left_out(rows: list[dict[str, Any]]) -> None:
    for coin in decode_listings(body_of(rows)).coins:
        assert coin.symbol.encode()
    fields = ("description", "logo", "urls", "tag-names", "tag-groups", "date_launched")
    odd = {str(number): dict.fromkeys(fields, row.get("quote")) | row for number, row in enumerate(rows)}
    for entry in decode_descriptions(body_of(odd)):
        assert entry.cmc_id > 0


def test_an_error_code_may_be_a_number_or_text() -> None:
    for code in (1011, "1011"):
        answer = json.dumps({"status": {"error_code": code, "error_message": "IP rate limit."}}).encode()
        assert error_in(answer) == "1011 IP rate limit."
    assert [error_in(body_of([], code)) for code in (0, "0", None)] == [None, None, None]
    assert error_in(b"[]") is None


def test_requests_stay_within_the_limits() -> None:
    keyless, keyed = listings_request(key=None), listings_request(key=KEY)
    assert keyless.path == f"/public-api{keyed.path}"
    requests = list(descriptions_requests(list(range(1, 251)), key=KEY))
    assert [len(request.params["id"].split(",")) for request in requests] == [100, 100, 50]
    assert (rate_limit(None), rate_limit(KEY)) == (KEYLESS, BASIC)
    assert KEYLESS.capacity + 15 * KEYLESS.per_second < 20
    assert BASIC.capacity + 60 * BASIC.per_second <= 30
    assert BASIC.per_month is not None
    assert BASIC.per_month * 3 <= 15_000


async def test_access_with_and_without_a_key() -> None:
    async with Simulator() as simulator:
        root = f"{simulator.rest_url}/coinmarketcap"
        for key in (None, KEY):
            async with coinmarketcap_http(root, LocalBudget(), key=key, scale=100) as client:
                assert decode_listings((await client.get(listings_request(key=key))).body).coins
        async with coinmarketcap_http(root, LocalBudget(), key="bad", scale=100) as client:
            with pytest.raises(Fatal, match="1001"):
                await client.get(listings_request(key="bad"))


@pytest.mark.live
async def test_the_real_api_is_as_documented() -> None:
    root = "https://pro-api.coinmarketcap.com"
    async with coinmarketcap_http(root, LocalBudget(), key=None, patience=Patience(attempts=3)) as client:
        page = decode_listings((await client.get(listings_request(key=None))).body)
        (request,) = descriptions_requests([1, 1975], key=None)
        bitcoin, link = sorted(
            decode_descriptions((await client.get(request)).body), key=lambda entry: entry.cmc_id
        )
    assert len(page.coins) == LISTED
    coins = {coin.symbol: coin for coin in reversed(page.coins)}
    assert coins["BTC"].metrics.price_usd
    assert coins["LINK"].contract == "0x514910771af9ca656af840dff83e8264ecf986ca"
    assert bitcoin.description
    assert link.links["website"]
