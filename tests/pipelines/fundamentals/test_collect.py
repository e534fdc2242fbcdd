"""Fundamentals collected from the simulated providers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import psycopg
import pytest

from coinwatch.assets import Coin, MetricsSource
from coinwatch.records import Market
from coinwatch.times import now_us, to_datetime
from pipelines.fundamentals.collect import (
    Collected,
    Providers,
    collect_metadata,
    collect_metrics,
)
from simulator.providers.coingecko import ABANDONED
from simulator.providers.coins import sim_coins
from simulator.server import Simulator
from sources.budgets import Budget, LocalBudget
from sources.exchanges import EXCHANGES
from sources.http import Patience, exchange_http
from sources.providers.coingecko import coingecko_http, top_request
from sources.providers.coinmarketcap import coinmarketcap_http
from sources.providers.defillama import defillama_http
from tests.pipelines.market_data.candles import trade, trade_as_simulated
from tests.sources.scripted_server import answer, scripted
from tests.stored import rows
from warehouse.assets.metrics import bases, store_bases
from warehouse.assets.store import store_coins
from warehouse.markets import ensure_markets
from warehouse.ops.budgets import WarehouseBudget

Conn = psycopg.AsyncConnection[Any]
QUICK = Patience(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)


@asynccontextmanager
async def opened(
    simulator: Simulator, budget: Budget | None = None, key: str | None = None, cmc_key: str | None = None
) -> AsyncIterator[Providers]:
    budget = budget or LocalBudget()
    given: dict[str, Any] = {"scale": 1_000, "patience": QUICK}
    async with (
        coingecko_http(f"{simulator.rest_url}/coingecko", budget, key=key, **given) as gecko,
        coinmarketcap_http(f"{simulator.rest_url}/coinmarketcap", budget, key=cmc_key, **given) as cmc,
        defillama_http(f"{simulator.rest_url}/defillama", budget, **given) as llama,
        exchange_http(EXCHANGES["gateio"], f"{simulator.rest_url}/gateio", budget, **given) as gateio,
    ):
        yield Providers(gecko, cmc, llama, gateio, cmc_key)


async def collect(conn: Conn, providers: Providers, **overrides: str) -> Collected:
    return await collect_metrics(conn, providers, ["BTC"], overrides, now_us())


async def test_metrics_of_all_sources_are_stored_once_an_hour(conn: Conn, simulator: Simulator) -> None:
    await trade_as_simulated(conn)
    async with opened(simulator) as providers:
        collected = await collect(conn, providers)
        asked = dict(simulator.requests)
        again = await collect(conn, providers)
    assert [result.errors for result in collected.results.values()] == [[], [], []]
    assert asked == {
        "coingecko/coins/list": 1,
        "coingecko/coins/markets": 2,  # the largest, and the others that are called BTC, ETH, SOL or LINK
        "coinmarketcap/public-api/v3/cryptocurrency/listings/latest": 1,
        "defillama/lite/protocols2": 1,
        "defillama/protocols": 1,
        "defillama/v2/chains": 1,
    }
    assert again.hour_us == collected.hour_us  # but for once in a great while
    counted = await rows(conn, "select source, count(*) from asset_metrics group by source order by source")
    assert counted == [
        ("coingecko", collected.results[MetricsSource.COINGECKO].stored),
        ("coinmarketcap", collected.results[MetricsSource.COINMARKETCAP].stored),
        ("defillama", collected.results[MetricsSource.DEFILLAMA].stored),
    ]
    assert counted[0][1] >= 250
    assert counted[1][1] > 200

    ((bitcoin,)) = await rows(
        conn,
        "select source, ts, price_usd, market_cap_usd / price_usd, rank, ath_at::date, change_24h, tvl_usd"
        " from v_asset_metrics where asset = 'bitcoin'",
    )
    source, ts, price, supply, rank, ath_on, change, tvl = bitcoin
    assert (source, rank, ath_on, tvl) == ("coingecko", 1, date(2021, 11, 10), None)
    assert ts == to_datetime(collected.hour_us)
    assert price == pytest.approx(sim_coins()["bitcoin"].price(now_us()), rel=0.01)
    assert supply == pytest.approx(19.9e6)
    assert abs(change) < 0.5
    locked = dict(await rows(conn, "select asset, tvl_usd from v_asset_metrics where tvl_usd is not null"))
    assert set(locked) == {"ethereum", "solana", "binancecoin", "avalanche-2", "tron", "chainlink"}
    link = sim_coins()["chainlink"].price(now_us())
    assert locked["chainlink"] == pytest.approx(1e8 * link, rel=0.01)  # both versions of its protocol


async def test_prices_decide_between_coins_of_one_ticker(conn: Conn, simulator: Simulator) -> None:
    await trade_as_simulated(conn)
    other_doge = sim_coins()["doge-of-mars"].price(now_us())
    await trade(conn, {"DOGE-USDT": other_doge, "NOPE-USDT": 5.0, "SMP9-EUR": 3.0})
    async with opened(simulator) as providers:
        collected = await collect(conn, providers, SMP9="sample-coin-9")
    decided = {decision.base: (decision.asset_id, decision.by) for decision in collected.decisions}
    assert decided == {
        "BTC": ("bitcoin", "price"),
        "ETH": ("ethereum", "price"),  # and not its bridged copy, at the same price
        "SOL": ("solana", "price"),
        "LINK": ("chainlink", "price"),
        "DOGE": ("doge-of-mars", "price"),
        "NOPE": (None, None),
        "SMP9": ("sample-coin-9", "override"),
    }
    stored = await bases(conn)
    assert stored["NOPE"].reason == "CoinGecko lists no coin with this ticker"
    assert stored["BTC"].reason.startswith("bitcoin is at ")
    (view,) = await rows(conn, "select bases from v_assets where asset = 'bitcoin'")
    assert view == (["BTC"],)


async def test_a_contract_address_decides_where_known(conn: Conn, simulator: Simulator) -> None:
    """Even without a price; when contracts are unavailable, only prices decide."""
    await ensure_markets(conn, {Market.canonical("gateio:LINK-TRY"): "LINK_TRY"})
    async with opened(simulator) as providers:
        collected = await collect_metrics(conn, providers, ["LINK"], {}, now_us())
        (link,) = collected.decisions
        assert (link.asset_id, link.by) == ("chainlink", "contract")
        assert simulator.requests["gateio/api/v4/spot/currencies"] == 1
        (again,) = (await collect_metrics(conn, providers, ["LINK"], {}, now_us())).decisions
        assert again == link
        assert simulator.requests["gateio/api/v4/spot/currencies"] == 1

        await conn.execute("delete from asset_bases")
        simulator.fail_rest("gateio", 404, times=1)
        collected = await collect_metrics(conn, providers, ["LINK"], {}, now_us())
        (link,) = collected.decisions
        assert (link.asset_id, link.reason) == (None, "we have no own price to compare with")
        assert "gateio: /api/v4/spot/currencies: HTTP 404" in str(
            collected.results[MetricsSource.COINGECKO].errors[0]
        )


async def test_a_decision_stands_until_the_price_contradicts(conn: Conn, simulator: Simulator) -> None:
    price = sim_coins()["bitcoin"].price(now_us())
    async with opened(simulator) as providers:
        await trade(conn, {"BTC-USDT": price})
        await collect(conn, providers)
        await trade(conn, {"BTC-USDT": price * 1.1})
        (kept,) = (await collect(conn, providers)).decisions
        assert (kept.asset_id, kept.by) == ("bitcoin", "price")
        await trade(conn, {"BTC-USDT": price * 2})
        collected = await collect(conn, providers)
        assert [decision.asset_id for decision in collected.decisions] == [None]
        assert collected.changed == 1
        assert "has our price: bitcoin is at" in collected.decisions[0].reason
        (pinned,) = (await collect(conn, providers, BTC="bitcoin")).decisions
        assert (pinned.asset_id, pinned.by) == ("bitcoin", "override")
        (free,) = (await collect(conn, providers)).decisions
        assert free.asset_id is None


async def test_implausible_numbers_are_dropped_and_listed(conn: Conn, simulator: Simulator) -> None:
    async with opened(simulator) as providers:
        result = (await collect(conn, providers)).results[MetricsSource.COINGECKO]
    assert dict(result.dropped) == {"market_cap": 1, "ath": 1, "total_supply": 1}
    assert result.dropped_of == [ABANDONED] == ["sample-coin-200"]
    (row,) = await rows(
        conn,
        "select market_cap_usd, ath_usd, total_supply, price_usd > 0 from asset_metrics"
        " where asset_id = 'sample-coin-200' and source = 'coingecko'",
    )
    assert row == (None, None, None, True)


async def test_coinmarketcap_replaces_coingecko_while_that_fails(conn: Conn, simulator: Simulator) -> None:
    await trade_as_simulated(conn)
    async with opened(simulator) as providers:
        await collect(conn, providers)
        await conn.execute("delete from asset_metrics")
        simulator.fail_rest("coingecko", 503, times=100)
        collected = await collect(conn, providers)
    assert collected.has_metrics
    (error,) = collected.results[MetricsSource.COINGECKO].errors
    assert "HTTP 503" in str(error)
    assert {row.asset_id for row in (await bases(conn)).values()} >= {"bitcoin", "solana"}
    (row,) = await rows(conn, "select source, rank from v_asset_metrics where asset = 'bitcoin'")
    assert row == ("coinmarketcap", 1)
    assert collected.results[MetricsSource.DEFILLAMA].stored


async def test_a_failing_source_does_not_affect_the_others(conn: Conn, simulator: Simulator) -> None:
    simulator.fail_rest("coinmarketcap", 429, times=100, retry_after_s=3_600)
    simulator.fail_rest("defillama", 404, times=100)
    async with opened(simulator) as providers:
        collected = await collect(conn, providers)
    assert collected.results[MetricsSource.COINGECKO].stored >= 250
    assert "HTTP 429" in str(collected.results[MetricsSource.COINMARKETCAP].errors[0])
    assert len(collected.results[MetricsSource.DEFILLAMA].errors) == 3


@pytest.mark.parametrize(
    ("answer_body", "problem"),
    [
        ('[{"id":"bitcoin","symbol":"btc","curr', "the answer is not JSON"),
        ("<html><body>Just a moment...</body></html>", "an HTML page"),
        ('{"status":{"error_code":10005,"error_message":"Paid plans only"}}', "10005 Paid plans only"),
    ],
)
async def test_a_bad_page_is_reported_and_the_others_are_kept(
    conn: Conn, simulator: Simulator, answer_body: str, problem: str
) -> None:
    """The second page is bad: the first is kept, and so is what was decided before."""
    await trade_as_simulated(conn)
    async with opened(simulator) as providers:
        before = (await collect(conn, providers)).decisions
        good = await providers.coingecko.get(top_request(1))
        await conn.execute("delete from asset_metrics")
        await trade(conn, {"NOPE-USDT": 5.0, "SMP290-USDT": 1.0})
        async with (
            scripted(answer(good.body), answer(answer_body)) as script,
            coingecko_http(script.root, LocalBudget(), key=None, scale=1_000, patience=QUICK) as gecko,
        ):
            collected = await collect(conn, providers._replace(coingecko=gecko))
    (error,) = collected.results[MetricsSource.COINGECKO].errors
    assert str(error).startswith("coingecko: ")
    assert problem in str(error)
    assert collected.results[MetricsSource.COINGECKO].stored == 250
    assert [decision for decision in collected.decisions if decision.asset_id] == before


async def test_an_empty_list_of_the_largest_coins_is_an_error(conn: Conn, simulator: Simulator) -> None:
    await store_coins(conn, [Coin("bitcoin", "BTC", "Bitcoin")])
    async with (
        opened(simulator) as providers,
        scripted(answer("[]")) as gecko_script,
        scripted(answer('{"status":{"error_code":"0"},"data":[]}')) as cmc_script,
        coingecko_http(gecko_script.root, LocalBudget(), key=None, scale=1_000) as gecko,
        coinmarketcap_http(cmc_script.root, LocalBudget(), key=None, scale=1_000) as cmc,
    ):
        collected = await collect(conn, providers._replace(coingecko=gecko, coinmarketcap=cmc))
    assert not collected.has_metrics
    for source in (MetricsSource.COINGECKO, MetricsSource.COINMARKETCAP):
        (error,) = collected.results[source].errors
        assert str(error) == f"{source}: the list of the largest coins is empty"


async def test_an_asset_without_metrics_is_listed(conn: Conn, simulator: Simulator) -> None:
    async with opened(simulator) as providers:
        await collect(conn, providers)
        await conn.execute("insert into assets (id, symbol, name) values ('atlantis', 'ATL', 'Atlantis')")
        await store_bases(conn, [("ATL", "atlantis", "price", "was at our price")], now_us())
        collected = await collect(conn, providers)
    assert collected.without_metrics == ["atlantis"]
    assert collected.results[MetricsSource.COINGECKO].errors == []


async def test_the_calls_of_a_month_are_never_exceeded(conn: Conn, simulator: Simulator) -> None:
    """With three calls left, three are sent, and their metrics are stored."""
    host = f"{simulator.rest_url}/coingecko".partition("://")[2]
    await trade_as_simulated(conn)
    await conn.execute(
        "insert into api_budgets (host, scope, tokens, calls_this_month) values (%s, 'demo key', 5, 9997)",
        (host,),
    )
    async with opened(simulator, WarehouseBudget(conn), key="CG-test") as providers:
        first = await collect(conn, providers)
        second = await collect(conn, providers)
    assert not first.results[MetricsSource.COINGECKO].errors
    assert "all 10,000 calls of this month are spent" in str(
        second.results[MetricsSource.COINGECKO].errors[0]
    )
    assert sum(count for path, count in simulator.requests.items() if path.startswith("coingecko/")) == 3
    assert second.has_metrics


async def test_descriptions_are_batched_and_removed_coins_are_marked(
    conn: Conn, simulator: Simulator
) -> None:
    await trade_as_simulated(conn)
    async with opened(simulator, cmc_key="0" * 8 + "-0000-0000-0000-" + "0" * 12) as providers:
        await collect(conn, providers)
        await conn.execute("insert into assets (id, symbol, name) values ('atlantis', 'ATL', 'Atlantis')")
        await conn.execute(
            "delete from assets where id = (select min(id) from assets where"
            " not exists (select from asset_metrics where asset_id = assets.id) and id <> 'atlantis')"
        )
        described = await collect_metadata(conn, providers, now_us())
    assert described.errors == []
    assert described.described == described.requested > 200
    assert simulator.requests["coinmarketcap/v2/cryptocurrency/info"] == -(-described.requested // 100)
    assert described.listed is not None
    assert described.listed == (1, 0, 1)
    (link,) = await rows(
        conn,
        "select name, categories, links -> 'website' ->> 0, platforms, launched_on, cmc_id, bases,"
        " images ? 'coingecko' and images ? 'coinmarketcap' from v_assets where asset = 'chainlink'",
    )
    contract = {"ethereum": "0x514910771af9ca656af840dff83e8264ecf986ca"}
    site = "https://chainlink.example/"
    assert link == ("Chainlink", ["Layer 1"], site, contract, date(2017, 6, 26), 1975, ["LINK"], True)


async def test_a_coin_newer_than_the_list_has_metrics(conn: Conn, simulator: Simulator) -> None:
    async with opened(simulator) as providers:
        await collect(conn, providers)
        await conn.execute("delete from asset_metrics where asset_id = 'sample-coin-3'")
        await conn.execute("delete from assets where id = 'sample-coin-3'")
        await collect(conn, providers)
    (row,) = await rows(
        conn,
        "select symbol, name, platforms, rank > 0 from v_assets join v_asset_metrics using (asset, symbol)"
        " where asset = 'sample-coin-3'",
    )
    assert row == ("SMP3", "Sample Coin 3", {}, True)


async def test_a_list_of_half_the_size_is_not_stored(conn: Conn, simulator: Simulator) -> None:
    many = [Coin(f"coin-{number}", "X", "x") for number in range(2 * len(sim_coins()) + 2)]
    await store_coins(conn, many)
    async with opened(simulator) as providers:
        described = await collect_metadata(conn, providers, now_us())
    assert described.listed is None
    assert "the previous list was kept" in str(described.errors[0])
    assert await rows(conn, "select count(*) from assets where gone_at is not null") == [(0,)]
