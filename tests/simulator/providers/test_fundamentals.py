"""The simulated CoinGecko, CoinMarketCap and DefiLlama, against their documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US
from simulator.exchanges.base import Refused
from simulator.history import History
from simulator.markets import BASES, sim_markets
from simulator.providers.base import Provider
from simulator.providers.coingecko import CoinGecko
from simulator.providers.coinmarketcap import CoinMarketCap
from simulator.providers.coins import sim_coins
from simulator.providers.defillama import CHAINS, DefiLlama
from simulator.truth import trades_in_minute

NOW_US = 1_795_000_000 * SECOND_US
MARKETS = sim_markets(60)
KEY = {"x-cmc_pro_api_key": "00000000-0000-0000-0000-000000000000"}
LISTINGS = "/public-api/v3/cryptocurrency/listings/latest"


@pytest.fixture
def gecko() -> CoinGecko:
    return CoinGecko(MARKETS, History())


@pytest.fixture
def cmc() -> CoinMarketCap:
    return CoinMarketCap(MARKETS, History())


def ask(provider: Provider, path: str, headers: dict[str, str] | None = None, **params: str) -> Any:
    return json.loads(provider.rest(path, params, headers or {}, NOW_US).body)


def refusal(
    provider: Provider, path: str, headers: dict[str, str] | None = None, **params: str
) -> tuple[int, Any, dict[str, str]]:
    with pytest.raises(Refused) as caught:
        provider.rest(path, params, headers or {}, NOW_US)
    answer = caught.value.answer
    return answer.status, json.loads(answer.body), answer.headers


def test_prices_are_those_of_the_simulated_markets(gecko: CoinGecko) -> None:
    markets = ask(gecko, "/coins/markets", vs_currency="usd", per_page="250")
    by_id = {row["id"]: row for row in markets}
    coins = {coin.symbol: coin for coin in reversed(sim_coins().values())}
    for base in BASES:
        market = MARKETS[Market.canonical(f"binance:{base}-USDT")]
        minute = NOW_US // MINUTE_US
        traded = [price for at in range(minute - 60, minute) for price in trades_in_minute(market, at).price]
        assert by_id[coins[base].id]["current_price"] == pytest.approx(traded[-1], rel=0.05)


def test_pages_are_ranked_and_cut_at_250(gecko: CoinGecko) -> None:
    first = ask(gecko, "/coins/markets", vs_currency="usd", per_page="1000")
    second = ask(gecko, "/coins/markets", vs_currency="usd", per_page="250", page="2")
    assert len(first) == 250
    assert [row["market_cap_rank"] for row in first + second] == list(range(1, len(first + second) + 1))
    assert ask(gecko, "/coins/markets", vs_currency="usd", per_page="250", page="3") == []


def test_ids_pick_coins_and_unknown_ones_are_passed_over(gecko: CoinGecko) -> None:
    rows = ask(gecko, "/coins/markets", vs_currency="usd", ids="solbark,nothing,solana,wrapped-solana")
    assert [row["id"] for row in rows] == ["solana", "solbark", "wrapped-solana"]
    assert {row["symbol"] for row in rows} == {"sol"}
    assert rows[2]["market_cap_rank"] is None
    assert rows[2]["current_price"] == rows[0]["current_price"]


def test_the_list_has_contracts_only_where_asked(gecko: CoinGecko) -> None:
    assert set(ask(gecko, "/coins/list")[0]) == {"id", "symbol", "name"}
    rows = {row["id"]: row for row in ask(gecko, "/coins/list", include_platform="true")}
    assert rows["bitcoin"]["platforms"] == {}
    assert rows["chainlink"]["platforms"]["ethereum"].startswith("0x5149")


def test_details_have_votes_that_add_up(gecko: CoinGecko) -> None:
    coin = ask(gecko, "/coins/bitcoin")
    assert coin["sentiment_votes_up_percentage"] + coin["sentiment_votes_down_percentage"] == pytest.approx(
        100
    )
    assert refusal(gecko, "/coins/nothing")[:2] == (404, {"error": "coin not found"})


def test_errors_and_limits_of_coingecko(gecko: CoinGecko) -> None:
    status, body, _ = refusal(gecko, "/coins/list", {"x-cg-demo-api-key": "wrong"})
    assert (status, body["status"]["error_code"]) == (401, 10002)
    assert refusal(gecko, "/coins/markets")[0] == 422
    demo = {"x-cg-demo-api-key": "CG-1"}
    for _ in range(30):
        ask(gecko, "/coins/bitcoin", demo)
    status, body, headers = refusal(gecko, "/coins/bitcoin", demo)
    assert (status, body["status"]["error_code"], headers["retry-after"]) == (429, 429, "60")
    gecko.rest("/coins/bitcoin", {}, demo, NOW_US + 60 * SECOND_US)
    for _ in range(14):  # the refused 422 was one as well
        ask(gecko, "/coins/bitcoin")
    assert refusal(gecko, "/coins/bitcoin")[0] == 429


def test_answers_at_one_time_are_equal(gecko: CoinGecko) -> None:
    params = {"vs_currency": "usd"}
    first, second = (
        provider.rest("/coins/markets", params, {}, NOW_US) for provider in (gecko, CoinGecko({}, History()))
    )
    assert first.body == second.body


def test_answers_with_and_without_a_key_are_equal(cmc: CoinMarketCap) -> None:
    public = ask(cmc, LISTINGS, limit="3")
    keyed = ask(cmc, LISTINGS.removeprefix("/public-api"), KEY, limit="3")
    assert public["data"] == keyed["data"]
    assert (public["status"]["error_code"], keyed["status"]["error_code"]) == ("0", 0)
    bitcoin = public["data"][0]
    assert (bitcoin["id"], bitcoin["cmc_rank"], bitcoin["quote"][0]["symbol"]) == (1, 1, "USD")


def test_descriptions_leave_out_ids_that_are_not_known(cmc: CoinMarketCap) -> None:
    described = ask(cmc, "/public-api/v2/cryptocurrency/info", id="1975,99999999")["data"]
    assert list(described) == ["1975"]
    assert described["1975"]["platform"]["token_address"].startswith("0x5149")


def test_errors_and_limits_of_coinmarketcap(cmc: CoinMarketCap) -> None:
    keyed = LISTINGS.removeprefix("/public-api")
    for headers, code in (({}, 1002), ({"x-cmc_pro_api_key": "wrong"}, 1001)):
        status, body, _ = refusal(cmc, keyed, headers)
        assert (status, body["status"]["error_code"]) == (401, code)
    assert refusal(cmc, keyed, KEY, limit="5001")[0] == 400
    assert refusal(cmc, "/public-api/v1/nothing")[0] == 404
    for _ in range(19):
        ask(cmc, LISTINGS, limit="1")
    status, body, _ = refusal(cmc, LISTINGS, limit="1")
    assert (status, body["status"]["error_code"]) == (429, 1011)


def test_value_locked_names_coins_as_coingecko_does() -> None:
    llama = DefiLlama(MARKETS, History())
    chains = ask(llama, "/v2/chains")
    assert {row["tokenSymbol"] for row in chains} == set(CHAINS)
    assert all(row["gecko_id"] in sim_coins() and row["tvl"] > 1e9 for row in chains)
    assert {row["category"] for row in ask(llama, "/protocols")} >= {"CEX"}
    assert refusal(llama, "/nothing")[0] == 404
