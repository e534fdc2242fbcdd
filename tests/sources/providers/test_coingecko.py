"""Decoding of CoinGecko, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.assets import Coin
from coinwatch.errors import BadMessage, Fatal
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.exchanges.base import RateLimit
from sources.http import Patience
from sources.providers.coingecko import (
    DEMO,
    KEYLESS,
    PER_PAGE,
    coingecko_http,
    coins_request,
    decode_coins,
    decode_metrics,
    error_in,
    metrics_requests,
    rate_limit,
    top_request,
)

BITCOIN = {
    "id": "bitcoin",
    "symbol": "btc",
    "name": "Bitcoin",
    "image": "https://coin-images.coingecko.com/coins/images/1/large/bitcoin.png?1696501400",
    "current_price": 64671,
    "market_cap": 1297846869995,
    "market_cap_rank": 1,
    "fully_diluted_valuation": 1297846869995,
    "total_volume": 17135990479,
    "circulating_supply": 20068353.0,
    "total_supply": 20068353.0,
    "max_supply": 21000000.0,
    "ath": 126080,
    "ath_date": "2025-10-06T10:57:42.000Z",
    "atl": 67.81,
    "atl_date": "2013-07-05T16:00:00.000Z",
    "last_updated": "2026-08-10T14:25:20.000Z",
    "price_change_percentage_1h_in_currency": -0.5,
    "price_change_percentage_24h_in_currency": -0.80093,
    "price_change_percentage_7d_in_currency": 3,
    "price_change_percentage_30d_in_currency": None,
}
"""Numbers as they were on a page of August 2026."""

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(BITCOIN, ANYTHING))


def read(**changes: Any) -> Any:
    (coin,) = decode_metrics(json.dumps([{**BITCOIN, **changes}]).encode()).coins
    return coin


def test_metrics_decode_as_documented() -> None:
    coin = read()
    assert (coin.id, coin.symbol, coin.name, coin.dropped) == ("bitcoin", "BTC", "Bitcoin", ())
    metrics = coin.metrics
    assert (metrics.price_usd, metrics.rank, metrics.market_cap_usd) == (64_671.0, 1, 1_297_846_869_995.0)
    assert metrics.change_24h == pytest.approx(-0.0080093)
    assert metrics.change_30d is None
    assert metrics.ath_us == 1_759_748_262_000_000
    assert metrics.observed_us == 1_786_371_920_000_000
    assert coin.image == BITCOIN["image"]


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("current_price", 0, "price_usd"),
        ("current_price", float("nan"), "price_usd"),
        ("current_price", float("inf"), "price_usd"),
        ("current_price", "64671", "price_usd"),
        ("market_cap", -1, "market_cap_usd"),
        ("market_cap", 10**400, "market_cap_usd"),
        ("market_cap", True, "market_cap_usd"),
        ("market_cap_rank", -3, "rank"),
        ("total_volume", -0.1, "volume_24h_usd"),
        ("max_supply", 1e60, "max_supply"),
        ("ath", -2, "ath_usd"),
        ("ath_date", "yesterday", "ath_us"),
        ("last_updated", "0001-01-01T00:00:00Z", "observed_us"),
        ("last_updated", "2026-08-10T14:25:20", "observed_us"),
        ("price_change_percentage_24h_in_currency", -101, "change_24h"),
    ],
)
def test_an_implausible_number_affects_only_itself(field: str, value: Any, name: str) -> None:
    coin, good = read(**{field: value}), read()
    assert coin.dropped == (field,)
    assert getattr(coin.metrics, name) is None
    others = set(type(coin.metrics).__struct_fields__) - {name}
    assert [getattr(coin.metrics, field) for field in others] == [
        getattr(good.metrics, field) for field in others
    ]


def test_an_unknown_value_is_not_implausible() -> None:
    coin = read(
        market_cap=0, market_cap_rank=None, max_supply=None, fully_diluted_valuation=0, total_volume=0
    )
    assert coin.dropped == ()
    metrics = coin.metrics
    assert (metrics.market_cap_usd, metrics.rank, metrics.fdv_usd, metrics.volume_24h_usd) == (
        None,
        None,
        None,
        0.0,
    )


def test_entries_without_an_id_are_counted_and_the_others_kept() -> None:
    body = json.dumps([BITCOIN, None, {"id": ""}, 7, {**BITCOIN, "id": "other"}]).encode()
    page = decode_metrics(body)
    assert [coin.id for coin in page.coins] == ["bitcoin", "other"]
    assert page.unreadable == 3


@pytest.mark.parametrize("body", [b"", b"[", b"null", b'{"error":"x"}', b"[" * 50_000, b"\xff", b'[{"id":1'])
def test_anything_but_a_list_is_a_bad_message(body: bytes) -> None:
    for decode in (decode_metrics, decode_coins):
        with pytest.raises(BadMessage):
            decode(body)


@given(st.lists(ROW, max_size=4))
def test_any_row_decodes_to_plausible_numbers(rows: list[dict[str, Any]]) -> None:
    page = decode_metrics(json.dumps(rows).encode())
    assert len({coin.id for coin in page.coins}) == len(page.coins)
    assert page.unreadable + len(page.coins) <= len(rows)
    for coin in page.coins:
        assert coin.id.encode()
        assert "\0" not in coin.id + coin.symbol + coin.name
        metrics = coin.metrics
        assert metrics.price_usd is None or 0 < metrics.price_usd <= 1e12
        assert metrics.market_cap_usd is None or 0 < metrics.market_cap_usd <= 1e16
        assert metrics.change_24h is None or metrics.change_24h >= -1
        assert metrics.rank is None or 0 < metrics.rank < 2**31


@given(st.binary(max_size=60))
def test_any_body_raises_nothing_but_bad_messages(body: bytes) -> None:
    error_in(body)
    for decode in (decode_metrics, decode_coins):
        try:
            decode(body)
        except BadMessage:
            continue


def test_the_list_of_coins_has_contracts_that_can_be_compared() -> None:
    body = json.dumps(
        [
            {
                "id": "aave",
                "symbol": "aave",
                "name": "Aave",
                "platforms": {
                    "ethereum": "0x7Fc66500c84A76Ad7e9c93437bFc5Ac33E2DDaE9",
                    "near": "",
                    "x": None,
                },
            },
            {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "platforms": {}},
            {"id": "odd", "symbol": "ODD\u0000", "name": None},
            {"symbol": "nothing"},
        ]
    ).encode()
    assert decode_coins(body) == [
        Coin("aave", "AAVE", "Aave", {"ethereum": "0x7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9"}),
        Coin("bitcoin", "BTC", "Bitcoin", {}),
        Coin("odd", "ODD", "odd", {}),
    ]


@given(st.lists(st.text("abcdefgh-", min_size=1, max_size=90), max_size=700))
def test_requests_hold_every_id_once_and_no_more_than_fits(ids: list[str]) -> None:
    requests = metrics_requests(ids)
    batches = [request.params["ids"].split(",") for request in requests]
    assert [coin_id for batch in batches for coin_id in batch] == ids
    assert all(len(batch) <= PER_PAGE for batch in batches)
    assert all(len(request.params["ids"]) <= 6_100 for request in requests)


@pytest.mark.parametrize(("limit", "a_minute"), [(KEYLESS, 6), (DEMO, 30)])
def test_no_minute_and_no_month_takes_more_than_is_allowed(limit: RateLimit, a_minute: int) -> None:
    assert limit.capacity + 60 * limit.per_second <= a_minute
    assert limit.scaled(1_000).per_month == 10_000
    assert (rate_limit("CG-x"), rate_limit(None)) == (DEMO, KEYLESS)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"status":{"error_code":10002,"error_message":"API Key Missing"}}', "10002 API Key Missing"),
        (b'{"error":{"status":{"error_code":10005,"error_message":"Paid"}}}', "10005 Paid"),
        (b'{"error":"coin not found"}', "coin not found"),
        (b'{"id":"bitcoin"}', None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_errors_are_found_in_bodies(body: bytes, message: str | None) -> None:
    assert error_in(body) == message


async def test_a_key_is_sent_and_a_wrong_one_is_fatal() -> None:
    async with Simulator() as simulator:
        root = f"{simulator.rest_url}/coingecko"
        for key in (None, "CG-good"):
            async with coingecko_http(root, LocalBudget(), key=key, scale=100) as client:
                assert decode_coins((await client.get(coins_request())).body)
        async with coingecko_http(root, LocalBudget(), key="bad", scale=100) as client:
            with pytest.raises(Fatal, match="HTTP 401"):
                await client.get(coins_request())


@pytest.mark.live
async def test_the_real_api_is_as_documented() -> None:
    root = "https://api.coingecko.com/api/v3"
    async with coingecko_http(root, LocalBudget(), key=None, patience=Patience(attempts=3)) as client:
        page = decode_metrics((await client.get(top_request(1))).body)
        coins = {coin.id: coin for coin in decode_coins((await client.get(coins_request())).body)}
    assert len(page.coins) == PER_PAGE
    assert page.unreadable == 0
    bitcoin = next(coin for coin in page.coins if coin.id == "bitcoin").metrics
    for name in bitcoin.__struct_fields__:
        assert name == "tvl_usd" or getattr(bitcoin, name) is not None, name
    assert len(coins) > 10_000
    assert coins["aave"].platforms["ethereum"] == "0x7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9"


def test_ids_and_names_that_cannot_be_keys_are_left_out() -> None:
    long = "x" * 3_000
    page = decode_metrics(
        json.dumps([{**BITCOIN, "id": long}, {**BITCOIN, "symbol": long}, BITCOIN]).encode()
    )
    assert ([coin.id for coin in page.coins], page.unreadable) == ([BITCOIN["id"]], 2)
    assert read(name=long).name == BITCOIN["id"]
    assert read(id="bit\0coin").id == "bitcoin"
