"""Assets: the list of all coins, and what the important ones are."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg

from coinwatch.assets import Coin, Description, Metrics, MetricsSource
from coinwatch.times import to_datetime
from tests.stored import rows
from tests.warehouse.assets.coins import BITCOIN, CAT, ETHER, HOUR_US
from warehouse.assets.metrics import store_bases, store_metrics
from warehouse.assets.store import (
    Listed,
    add_coins,
    assets_called,
    cmc_ids,
    listed_coins,
    store_cmc_ids,
    store_coins,
    store_descriptions,
    store_images,
    to_describe,
)

Conn = psycopg.AsyncConnection[Any]


async def test_the_list_is_kept_current_and_what_goes_is_marked(conn: Conn) -> None:
    assert await listed_coins(conn) == 0
    assert await store_coins(conn, [BITCOIN, CAT]) == Listed(2, 0, 0)
    (before,) = await rows(conn, "select array_agg(xmin::text) from assets")
    assert await store_coins(conn, [CAT, BITCOIN]) == Listed(0, 0, 0)
    assert await rows(conn, "select array_agg(xmin::text) from assets") == [before]  # no row was touched
    renamed = Coin("bitcoin", "BTC", "Bitcoin Core")
    assert await store_coins(conn, [renamed, ETHER]) == Listed(1, 1, 1)
    assert await listed_coins(conn) == 2
    assert await store_coins(conn, [renamed, ETHER, CAT]) == Listed(0, 1, 0)  # it came back
    await add_coins(conn, [Coin("bitcoin", "XXX", "not this"), Coin("new", "NEW", "New")])
    assert await rows(conn, "select symbol, name from assets where id in ('bitcoin', 'new') order by id") == [
        ("BTC", "Bitcoin Core"),
        ("NEW", "New"),
    ]


async def test_assets_are_found_by_ticker_and_id_unless_gone(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER, CAT])
    assets = {asset.id: asset for asset in await assets_called(conn, ["CAT", "BTC"], ["ethereum"])}
    assert set(assets) == {"bitcoin", "ethereum", "simon-s-cat"}
    assert sorted(assets["simon-s-cat"].contracts) == ["0xcafe", "CatXyz"]
    await store_coins(conn, [BITCOIN])
    assert [asset.id for asset in await assets_called(conn, ["CAT", "BTC"], ["ethereum"])] == ["bitcoin"]


async def test_numbers_of_the_other_provider_are_one_assets(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER, CAT])
    assert await store_cmc_ids(conn, {"bitcoin": 1, "ethereum": 1027}) == 2
    assert await store_cmc_ids(conn, {"bitcoin": 1, "simon-s-cat": 1027, "unknown": 5}) == 1
    assert await cmc_ids(conn) == {"bitcoin": 1, "simon-s-cat": 1027}


async def test_missing_fields_of_descriptions_keep_their_values(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER])
    await store_cmc_ids(conn, {"bitcoin": 1, "ethereum": 1027})
    await store_images(conn, {"bitcoin": "https://a/1.png"}, "coingecko")
    full = Description(
        cmc_id=1,
        description="Digital gold.",
        categories=("Layer 1", "Store of Value"),
        links={"website": ("https://bitcoin.org/",)},
        launched_on=date(2009, 1, 3),
        logo="https://b/1.png",
    )
    empty = Description(cmc_id=1, description=None, categories=(), links={}, launched_on=None, logo=None)
    assert await store_descriptions(conn, {"bitcoin": full}, HOUR_US) == 1
    assert await store_descriptions(conn, {"bitcoin": empty}, HOUR_US + 1) == 1
    query = (
        "select description, categories, links, images, launched_on, described_at from assets"
        " where id = 'bitcoin'"
    )
    assert await rows(conn, query) == [
        (
            "Digital gold.",
            ["Layer 1", "Store of Value"],
            {"website": ["https://bitcoin.org/"]},
            {"coingecko": "https://a/1.png", "coinmarketcap": "https://b/1.png"},
            date(2009, 1, 3),
            to_datetime(HOUR_US + 1),
        )
    ]
    assert (
        await store_images(conn, {"bitcoin": "https://a/1.png", "ethereum": "https://a/2.png"}, "coingecko")
        == 1
    )


async def test_those_of_our_bases_are_described_first(conn: Conn) -> None:
    await store_coins(conn, [BITCOIN, ETHER, CAT])
    await store_cmc_ids(conn, {"bitcoin": 1, "ethereum": 1027, "simon-s-cat": 9})
    ranks = {"bitcoin": Metrics(rank=1), "ethereum": Metrics(rank=2)}
    await store_metrics(conn, MetricsSource.COINGECKO, HOUR_US, ranks)
    await store_bases(conn, [("CAT", "simon-s-cat", "price", "")], HOUR_US)
    assert list((await to_describe(conn, 5)).values()) == ["simon-s-cat", "bitcoin", "ethereum"]
    assert await to_describe(conn, 1) == {9: "simon-s-cat"}
