"""Total value locked by DefiLlama, by CoinGecko id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage
from sources.budgets import LocalBudget
from sources.providers.defillama import (
    chains_request,
    decode_chains,
    decode_parents,
    decode_protocols,
    defillama_http,
    protocols_request,
)
from tests.sources.providers.test_coingecko import ANYTHING


def body_of(*rows: Any) -> bytes:
    return json.dumps(rows).encode()


def test_versions_of_a_protocol_count_for_one_coin() -> None:
    locked = decode_protocols(
        body_of(
            {"name": "Aave V3", "gecko_id": None, "parentProtocol": "parent#aave", "tvl": 30e9},
            {"name": "Aave V2", "gecko_id": "aave", "parentProtocol": "parent#aave", "tvl": 1e9},
            {"name": "Lido", "gecko_id": "lido-dao", "parentProtocol": None, "tvl": 25e9},
            {"name": "Binance CEX", "gecko_id": "binancecoin", "category": "CEX", "tvl": 160e9},
            {"name": "Without a coin", "gecko_id": None, "parentProtocol": None, "tvl": 5.0},
            {"name": "Broken", "gecko_id": "broken", "tvl": -1},
            {"name": "Silent", "gecko_id": "silent", "tvl": None},
            "text",
        )
    )
    assert locked.usd == {"aave": 31e9, "lido-dao": 25e9}
    assert locked.dropped == 1


def protocol(coin: str | None, tvl: float, parent: str = "parent#a") -> dict[str, Any]:
    return {"name": "A", "gecko_id": coin, "parentProtocol": parent, "category": "Yield", "tvl": tvl}


def test_protocols_of_a_parent_with_two_coins_inherit_none() -> None:
    body = body_of(protocol("magpie", 1e7), protocol("penpie", 2e7), protocol(None, 5e8))
    assert decode_protocols(body).usd == {"magpie": 1e7, "penpie": 2e7}
    assert decode_protocols(body, {"parent#a": "magpie"}).usd == {"magpie": 1e7, "penpie": 2e7}


def test_protocols_without_a_coin_count_for_their_parents() -> None:
    parents = decode_parents(
        b'{"protocols":[],"parentProtocols":[{"id":"parent#a","gecko_id":"uniswap"},'
        b'{"id":"parent#b","gecko_id":null},{"id":7,"gecko_id":"x"},"text"]}'
    )
    assert parents == {"parent#a": "uniswap"}
    body = body_of(protocol(None, 16e8), protocol(None, 1e9), protocol(None, 5e8, "parent#b"))
    assert decode_protocols(body, parents).usd == {"uniswap": 26e8}
    assert decode_protocols(body).usd == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"parentProtocols":{}}', b"<html>"])
def test_anything_but_a_list_of_parents_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_parents(body)


def test_chains_are_summed_by_coin() -> None:
    locked = decode_chains(
        body_of(
            {"name": "Ethereum", "gecko_id": "ethereum", "tvl": 80e9},
            {"name": "A rollup", "gecko_id": "ethereum", "tvl": 1e9},
            {"name": "Base", "gecko_id": None, "tvl": 4e9},
        )
    )
    assert locked.usd == {"ethereum": 81e9}


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[1", b"<html>"])
def test_anything_but_a_list_is_a_bad_message(body: bytes) -> None:
    for decode in (decode_protocols, decode_chains):
        with pytest.raises(BadMessage):
            decode(body)


ROW = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("gecko_id", "parentProtocol", "tvl"), ANYTHING)
) | st.fixed_dictionaries({"gecko_id": st.just("a"), "tvl": st.floats()})


@given(st.lists(ROW, max_size=5))
def test_sums_are_plausible(rows: list[dict[str, Any]]) -> None:
    for decode in (decode_protocols, decode_chains):
        for coin, usd in decode(body_of(*rows)).usd.items():
            assert coin
            assert 0 < usd <= 1e16 * len(rows)


@pytest.mark.live
async def test_the_real_api_is_as_documented() -> None:
    async with defillama_http("https://api.llama.fi", LocalBudget()) as client:
        protocols = decode_protocols((await client.get(protocols_request())).body)
        chains = decode_chains((await client.get(chains_request())).body)
    assert protocols.usd["lido-dao"] > 1e8
    assert chains.usd["ethereum"] > 1e9
    assert "aave" in protocols.usd


def test_a_category_may_be_anything() -> None:
    categories: list[object] = [["CEX"], {}, 7, None]
    rows = [{"gecko_id": "a", "tvl": 5.0, "category": category} for category in categories]
    assert decode_protocols(json.dumps(rows).encode()).usd == {"a": 20.0}
