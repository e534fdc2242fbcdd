"""Assets: the list of all coins, their ids at CoinMarketCap, and descriptions of the important ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from coinwatch.assets import Coin, Description
from coinwatch.times import to_datetime


class KnownAsset(NamedTuple):
    """A row of assets, as matching needs it."""

    id: str
    symbol: str
    contracts: tuple[str, ...]


class Listed(NamedTuple):
    """What storing the list of all coins changed."""

    new: int
    changed: int
    gone: int


async def store_coins(conn: psycopg.AsyncConnection, coins: Sequence[Coin]) -> Listed:
    """Store the list of all coins. A coin that left the list keeps its row, with the time it left."""
    columns = _columns(coins)
    async with conn.transaction():
        cursor = await conn.execute(_STORE_COINS, columns)
        new = [is_new for (is_new,) in await cursor.fetchall()]
        gone = await conn.execute(_GONE, columns)
    return Listed(sum(new), len(new) - sum(new), gone.rowcount)


async def add_coins(conn: psycopg.AsyncConnection, coins: Sequence[Coin]) -> None:
    """Add the coins that are not stored yet."""
    await conn.execute(_ADD_COINS, _columns(coins))


async def listed_coins(conn: psycopg.AsyncConnection) -> int:
    """How many stored coins are still listed."""
    row = await (await conn.execute("SELECT count(*) FROM assets WHERE gone_at IS NULL")).fetchone()
    return row[0] if row else 0


async def assets_called(
    conn: psycopg.AsyncConnection, symbols: Collection[str], ids: Collection[str]
) -> list[KnownAsset]:
    """The listed assets with one of these tickers or ids."""
    cursor = await conn.execute(_CALLED, {"symbols": list(symbols), "ids": list(ids)})
    return [KnownAsset(row[0], row[1], tuple(row[2])) for row in await cursor.fetchall()]


async def to_describe(conn: psycopg.AsyncConnection, most: int) -> dict[int, str]:
    """Assets to describe, by CoinMarketCap id: those of our bases first, then by rank."""
    rows = await (await conn.execute(_TO_DESCRIBE, {"most": most})).fetchall()
    return dict(rows)


async def cmc_ids(conn: psycopg.AsyncConnection) -> dict[str, int]:
    """The CoinMarketCap ids of assets."""
    cursor = await conn.execute("SELECT id, cmc_id FROM assets WHERE cmc_id IS NOT NULL AND gone_at IS NULL")
    return dict(await cursor.fetchall())


async def store_cmc_ids(conn: psycopg.AsyncConnection, numbers: Mapping[str, int]) -> int:
    """Store CoinMarketCap ids by asset; return how many are new or changed.

    An id belongs to one asset: any other asset loses it.
    """
    ids = sorted(numbers)
    asked = {"ids": ids, "numbers": [numbers[asset_id] for asset_id in ids]}
    async with conn.transaction():
        await conn.execute(_FREE_CMC_IDS, asked)
        cursor = await conn.execute(_STORE_CMC_IDS, asked)
    return cursor.rowcount


async def store_images(conn: psycopg.AsyncConnection, images: Mapping[str, str], source: str) -> int:
    """Store the URLs of images by asset; return how many are new or changed."""
    ids = sorted(images)
    cursor = await conn.execute(
        _STORE_IMAGES, {"ids": ids, "urls": [images[asset_id] for asset_id in ids], "source": source}
    )
    return cursor.rowcount


async def store_descriptions(
    conn: psycopg.AsyncConnection, descriptions: Mapping[str, Description], now_us: int
) -> int:
    """Store descriptions by asset id; return how many. Missing fields keep their stored values."""
    ids = sorted(descriptions)
    rows = [descriptions[asset_id] for asset_id in ids]
    cursor = await conn.execute(
        _STORE_DESCRIPTIONS,
        {
            "ids": ids,
            "descriptions": [row.description for row in rows],
            "categories": [Jsonb(list(row.categories)) for row in rows],
            "links": [Jsonb(dict(row.links)) for row in rows],
            "logos": [row.logo for row in rows],
            "launched": [row.launched_on for row in rows],
            "now": to_datetime(now_us),
        },
    )
    return cursor.rowcount


def _columns(coins: Sequence[Coin]) -> dict[str, list[Any]]:
    ordered = sorted(coins, key=lambda coin: coin.id)
    return {
        "ids": [coin.id for coin in ordered],
        "symbols": [coin.symbol for coin in ordered],
        "names": [coin.name for coin in ordered],
        "platforms": [Jsonb(dict(coin.platforms)) for coin in ordered],
    }


# Unchanged rows are not written: the list has 20,000 coins, of which few change in a week.
_STORE_COINS = """
INSERT INTO assets AS a (id, symbol, name, platforms)
SELECT * FROM unnest(%(ids)s::text[], %(symbols)s::text[], %(names)s::text[], %(platforms)s::jsonb[])
ON CONFLICT (id) DO UPDATE SET
    symbol = excluded.symbol, name = excluded.name, platforms = excluded.platforms, gone_at = NULL,
    updated_at = now()
WHERE (a.symbol, a.name, a.platforms, a.gone_at)
      IS DISTINCT FROM (excluded.symbol, excluded.name, excluded.platforms, NULL)
RETURNING xmax = 0
"""

_ADD_COINS = """
INSERT INTO assets (id, symbol, name, platforms)
SELECT * FROM unnest(%(ids)s::text[], %(symbols)s::text[], %(names)s::text[], %(platforms)s::jsonb[])
ON CONFLICT (id) DO NOTHING
"""

_GONE = """
UPDATE assets SET gone_at = now(), updated_at = now()
WHERE gone_at IS NULL AND NOT id = ANY (%(ids)s::text[])
"""

_CALLED = """
SELECT id, symbol, ARRAY(SELECT value FROM jsonb_each_text(platforms))
FROM assets
WHERE gone_at IS NULL AND (symbol = ANY (%(symbols)s::text[]) OR id = ANY (%(ids)s::text[]))
"""

_TO_DESCRIBE = """
SELECT a.cmc_id, a.id
FROM assets a
LEFT JOIN LATERAL (
    SELECT m.rank FROM asset_metrics m
    WHERE m.asset_id = a.id AND m.source <> 'defillama' ORDER BY m.ts DESC, m.source LIMIT 1
) AS latest ON true
WHERE a.cmc_id IS NOT NULL AND a.gone_at IS NULL
ORDER BY EXISTS (SELECT FROM asset_bases b WHERE b.asset_id = a.id) DESC, latest.rank NULLS LAST, a.id
LIMIT %(most)s
"""

_FREE_CMC_IDS = """
UPDATE assets SET cmc_id = NULL, updated_at = now()
WHERE cmc_id = ANY (%(numbers)s::int[]) AND NOT id = ANY (%(ids)s::text[])
"""

_STORE_CMC_IDS = """
UPDATE assets a SET cmc_id = given.number, updated_at = now()
FROM unnest(%(ids)s::text[], %(numbers)s::int[]) AS given (id, number)
WHERE a.id = given.id AND a.cmc_id IS DISTINCT FROM given.number
"""

_STORE_IMAGES = """
UPDATE assets a SET images = a.images || jsonb_build_object(%(source)s::text, given.url), updated_at = now()
FROM unnest(%(ids)s::text[], %(urls)s::text[]) AS given (id, url)
WHERE a.id = given.id AND a.images ->> %(source)s::text IS DISTINCT FROM given.url
"""

_STORE_DESCRIPTIONS = """
UPDATE assets a SET
    description = coalesce(given.description, a.description),
    categories = CASE WHEN given.categories = '[]' THEN a.categories
                      ELSE ARRAY(SELECT jsonb_array_elements_text(given.categories)) END,
    links = CASE WHEN given.links = '{}' THEN a.links ELSE given.links END,
    images = a.images || CASE WHEN given.logo IS NULL THEN '{}'
                              ELSE jsonb_build_object('coinmarketcap', given.logo) END,
    launched_on = coalesce(given.launched, a.launched_on),
    described_at = %(now)s,
    updated_at = now()
FROM unnest(%(ids)s::text[], %(descriptions)s::text[], %(categories)s::jsonb[], %(links)s::jsonb[],
            %(logos)s::text[], %(launched)s::date[])
     AS given (id, description, categories, links, logo, launched)
WHERE a.id = given.id
"""
