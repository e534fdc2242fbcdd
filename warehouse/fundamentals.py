"""Assets, the bases they stand for, and their metrics by the hour: what is written and read of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from coinwatch.assets import Coin, Description, Metrics, MetricsSource
from coinwatch.times import to_datetime


class KnownAsset(NamedTuple):
    """A row of assets, as matching needs it."""

    id: str
    symbol: str
    contracts: tuple[str, ...]
    cmc_id: int | None
    is_described: bool


class DecidedBase(NamedTuple):
    """A row of asset_bases."""

    base: str
    asset_id: str | None
    decided_by: str | None
    reason: str
    decided_at: datetime


class Listed(NamedTuple):
    """What storing the list of all coins changed."""

    new: int
    changed: int
    gone: int


class Difference(NamedTuple):
    """Two prices of one asset in one hour."""

    asset_id: str
    price_usd: float
    other_usd: float


async def store_coins(conn: psycopg.AsyncConnection, coins: Sequence[Coin]) -> Listed:
    """Store the list of all coins. One that is on it no more keeps its row, and the time it went."""
    columns = _columns(coins)
    async with conn.transaction():
        cursor = await conn.execute(_STORE_COINS, columns)
        new = [is_new for (is_new,) in await cursor.fetchall()]
        gone = await conn.execute(_GONE, columns)
    return Listed(sum(new), len(new) - sum(new), gone.rowcount)


async def add_coins(conn: psycopg.AsyncConnection, coins: Sequence[Coin]) -> None:
    """Add those that are newer than the stored list."""
    await conn.execute(_ADD_COINS, _columns(coins))


async def listed_coins(conn: psycopg.AsyncConnection) -> int:
    """How many coins the stored list has that are not gone."""
    row = await (await conn.execute("SELECT count(*) FROM assets WHERE gone_at IS NULL")).fetchone()
    return row[0] if row else 0


async def assets_called(
    conn: psycopg.AsyncConnection, symbols: Collection[str], ids: Collection[str]
) -> list[KnownAsset]:
    """The assets with one of these tickers or ids that are not gone."""
    cursor = await conn.execute(_CALLED, {"symbols": list(symbols), "ids": list(ids)})
    return [KnownAsset(row[0], row[1], tuple(row[2]), row[3], row[4]) for row in await cursor.fetchall()]


async def to_describe(conn: psycopg.AsyncConnection, most: int) -> dict[int, str]:
    """Assets that matter here, by their CoinMarketCap id: those of our bases first, then by rank."""
    rows = await (await conn.execute(_TO_DESCRIBE, {"most": most})).fetchall()
    return dict(rows)


async def cmc_ids(conn: psycopg.AsyncConnection) -> dict[str, int]:
    """What CoinMarketCap calls assets."""
    cursor = await conn.execute("SELECT id, cmc_id FROM assets WHERE cmc_id IS NOT NULL AND gone_at IS NULL")
    return dict(await cursor.fetchall())


async def store_cmc_ids(conn: psycopg.AsyncConnection, numbers: Mapping[str, int]) -> int:
    """Note what CoinMarketCap calls assets; returns how many are new or changed.

    A number is one asset's: another that had it until now has none.
    """
    ids = sorted(numbers)
    asked = {"ids": ids, "numbers": [numbers[one] for one in ids]}
    async with conn.transaction():
        await conn.execute(_FREE_CMC_IDS, asked)
        cursor = await conn.execute(_STORE_CMC_IDS, asked)
    return cursor.rowcount


async def store_images(conn: psycopg.AsyncConnection, images: Mapping[str, str], source: str) -> int:
    """Note where pictures of assets are, by who serves them; returns how many are new or changed."""
    ids = sorted(images)
    cursor = await conn.execute(
        _STORE_IMAGES, {"ids": ids, "urls": [images[one] for one in ids], "source": source}
    )
    return cursor.rowcount


async def store_descriptions(
    conn: psycopg.AsyncConnection, told: Mapping[str, Description], now_us: int
) -> int:
    """Store what assets are; returns how many there were. What was told before and now is not, stays."""
    ids = sorted(told)
    rows = [told[one] for one in ids]
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


async def our_prices(conn: psycopg.AsyncConnection, now_us: int) -> list[tuple[str, str, float]]:
    """The newest prices of pairs as (base, quote, price): averages, else the median of closed candles.

    None is older than two hours.
    """
    since = to_datetime(now_us) - timedelta(hours=2)
    return await (await conn.execute(_OUR_PRICES, {"since": since})).fetchall()


async def bases(conn: psycopg.AsyncConnection) -> dict[str, DecidedBase]:
    """What was decided of bases."""
    cursor = await conn.execute(
        "SELECT base, asset_id, decided_by, reason, decided_at FROM asset_bases ORDER BY base"
    )
    return {row[0]: DecidedBase(*row) for row in await cursor.fetchall()}


async def bases_on(conn: psycopg.AsyncConnection, exchange: str) -> set[str]:
    """What ``exchange`` trades."""
    cursor = await conn.execute(
        "SELECT DISTINCT base FROM markets WHERE exchange = %s AND status = 'active'", [exchange]
    )
    return {base for (base,) in await cursor.fetchall()}


async def store_bases(
    conn: psycopg.AsyncConnection, decisions: Sequence[tuple[str, str | None, str | None, str]], now_us: int
) -> int:
    """Store decisions as (base, asset, decided by, reason); returns how many name another asset now."""
    ordered = sorted(decisions)
    cursor = await conn.execute(
        _STORE_BASES,
        {
            "bases": [row[0] for row in ordered],
            "assets": [row[1] for row in ordered],
            "by": [row[2] for row in ordered],
            "reasons": [row[3] for row in ordered],
            "now": to_datetime(now_us),
        },
    )
    return sum(changed for (changed,) in await cursor.fetchall())


async def store_metrics(
    conn: psycopg.AsyncConnection, source: MetricsSource, hour_us: int, metrics: Mapping[str, Metrics]
) -> int:
    """Store what ``source`` says of assets in this hour, in place of what it said earlier in it.

    Assets that are not known are left out; returns how many were stored.
    """
    ids = sorted(metrics)
    rows = [metrics[one] for one in ids]
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in Metrics.__struct_fields__
    }
    for name in ("observed_us", "ath_us", "atl_us"):
        columns[name] = [None if ts_us is None else to_datetime(ts_us) for ts_us in columns[name]]
    cursor = await conn.execute(
        _STORE_METRICS, {"ids": ids, "source": source.value, "hour": to_datetime(hour_us), **columns}
    )
    return cursor.rowcount


async def differing_from_ours(
    conn: psycopg.AsyncConnection, hour_us: int, ours: Mapping[str, float], most: float
) -> tuple[int, list[Difference]]:
    """How many assets of our bases could be compared in this hour, and those whose price differs.

    ``ours`` are our own prices in USD by base; a difference counts from ``most`` on, 0.05 is 5 %.
    """
    rows = await (
        await conn.execute(
            _WITH_OURS,
            {"hour": to_datetime(hour_us), "bases": list(ours), "prices": list(ours.values())},
        )
    ).fetchall()
    return _differing(rows, most)


async def differing_sources(
    conn: psycopg.AsyncConnection, hour_us: int, most: float
) -> tuple[int, list[Difference]]:
    """The same of CoinGecko's prices and CoinMarketCap's."""
    rows = await (await conn.execute(_BOTH_SOURCES, {"hour": to_datetime(hour_us)})).fetchall()
    return _differing(rows, most)


def _columns(coins: Sequence[Coin]) -> dict[str, list[Any]]:
    ordered = sorted(coins, key=lambda coin: coin.id)
    return {
        "ids": [coin.id for coin in ordered],
        "symbols": [coin.symbol for coin in ordered],
        "names": [coin.name for coin in ordered],
        "platforms": [Jsonb(dict(coin.platforms)) for coin in ordered],
    }


def _differing(rows: Sequence[tuple[Any, ...]], most: float) -> tuple[int, list[Difference]]:
    compared = [Difference(*row) for row in rows]
    far = [one for one in compared if max(one[1:]) / min(one[1:]) - 1 > most]
    return len(compared), far


# Rows that say the same stay untouched: the list is 20,000 coins long, and few change in a week.
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
SELECT id, symbol, ARRAY(SELECT value FROM jsonb_each_text(platforms)), cmc_id, described_at IS NOT NULL
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
UPDATE assets a SET cmc_id = told.number, updated_at = now()
FROM unnest(%(ids)s::text[], %(numbers)s::int[]) AS told (id, number)
WHERE a.id = told.id AND a.cmc_id IS DISTINCT FROM told.number
"""

_STORE_IMAGES = """
UPDATE assets a SET images = a.images || jsonb_build_object(%(source)s::text, told.url), updated_at = now()
FROM unnest(%(ids)s::text[], %(urls)s::text[]) AS told (id, url)
WHERE a.id = told.id AND a.images ->> %(source)s::text IS DISTINCT FROM told.url
"""

_STORE_DESCRIPTIONS = """
UPDATE assets a SET
    description = coalesce(told.description, a.description),
    categories = CASE WHEN told.categories = '[]' THEN a.categories
                      ELSE ARRAY(SELECT jsonb_array_elements_text(told.categories)) END,
    links = CASE WHEN told.links = '{}' THEN a.links ELSE told.links END,
    images = a.images || CASE WHEN told.logo IS NULL THEN '{}'
                              ELSE jsonb_build_object('coinmarketcap', told.logo) END,
    launched_on = coalesce(told.launched, a.launched_on),
    described_at = %(now)s,
    updated_at = now()
FROM unnest(%(ids)s::text[], %(descriptions)s::text[], %(categories)s::jsonb[], %(links)s::jsonb[],
            %(logos)s::text[], %(launched)s::date[])
     AS told (id, description, categories, links, logo, launched)
WHERE a.id = told.id
"""

# Averages are looked at by pair, from the newest backwards; the index begins with the pair.
_OUR_PRICES = """
WITH pairs AS (SELECT DISTINCT base, quote FROM markets WHERE status = 'active'),
averaged AS (
    SELECT p.base, p.quote, a.price
    FROM pairs p
    CROSS JOIN LATERAL (
        SELECT price FROM price_averages a
        WHERE a.base = p.base AND a.quote = p.quote AND a.ts >= %(since)s
        ORDER BY a.ts DESC LIMIT 1
    ) AS a
),
closed AS (
    SELECT m.base, m.quote, percentile_cont(0.5) WITHIN GROUP (ORDER BY c.close) AS price
    FROM markets m
    CROSS JOIN LATERAL (
        SELECT close FROM candles c
        WHERE c.market_id = m.id AND c."interval" = '1m' AND c.open_ts >= %(since)s
        ORDER BY c.open_ts DESC LIMIT 1
    ) AS c
    GROUP BY m.base, m.quote
)
SELECT base, quote, price FROM averaged
UNION ALL
SELECT base, quote, price FROM closed
WHERE NOT EXISTS (SELECT FROM averaged a WHERE a.base = closed.base AND a.quote = closed.quote)
"""

_STORE_BASES = """
WITH before AS (SELECT base, asset_id FROM asset_bases),
stored AS (
    INSERT INTO asset_bases (base, asset_id, decided_by, reason, decided_at)
    SELECT base, asset, decided_by, reason, %(now)s
    FROM unnest(%(bases)s::text[], %(assets)s::text[], %(by)s::text[], %(reasons)s::text[])
         AS told (base, asset, decided_by, reason)
    ON CONFLICT (base) DO UPDATE SET
        asset_id = excluded.asset_id, decided_by = excluded.decided_by, reason = excluded.reason,
        decided_at = excluded.decided_at
    RETURNING base, asset_id
)
SELECT stored.asset_id IS DISTINCT FROM before.asset_id FROM stored LEFT JOIN before USING (base)
"""

_STORE_METRICS = """
INSERT INTO asset_metrics (
    asset_id, ts, source, observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd,
    circulating_supply, total_supply, max_supply, ath_usd, ath_at, atl_usd, atl_at,
    change_1h, change_24h, change_7d, change_30d, tvl_usd
)
SELECT told.id, %(hour)s, %(source)s, observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd,
       circulating_supply, total_supply, max_supply, ath_usd, ath_at, atl_usd, atl_at,
       change_1h, change_24h, change_7d, change_30d, tvl_usd
FROM unnest(
    %(ids)s::text[], %(observed_us)s::timestamptz[], %(price_usd)s::float8[], %(market_cap_usd)s::float8[],
    %(rank)s::int[], %(fdv_usd)s::float8[], %(volume_24h_usd)s::float8[], %(circulating_supply)s::float8[],
    %(total_supply)s::float8[], %(max_supply)s::float8[], %(ath_usd)s::float8[], %(ath_us)s::timestamptz[],
    %(atl_usd)s::float8[], %(atl_us)s::timestamptz[], %(change_1h)s::float8[], %(change_24h)s::float8[],
    %(change_7d)s::float8[], %(change_30d)s::float8[], %(tvl_usd)s::float8[]
) AS told (
    id, observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd, circulating_supply,
    total_supply, max_supply, ath_usd, ath_at, atl_usd, atl_at, change_1h, change_24h, change_7d,
    change_30d, tvl_usd
)
JOIN assets a ON a.id = told.id
ORDER BY told.id
ON CONFLICT (asset_id, ts, source) DO UPDATE SET (
    observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd, circulating_supply, total_supply,
    max_supply, ath_usd, ath_at, atl_usd, atl_at, change_1h, change_24h, change_7d, change_30d, tvl_usd
) = (
    excluded.observed_at, excluded.price_usd, excluded.market_cap_usd, excluded.rank, excluded.fdv_usd,
    excluded.volume_24h_usd, excluded.circulating_supply, excluded.total_supply, excluded.max_supply,
    excluded.ath_usd, excluded.ath_at, excluded.atl_usd, excluded.atl_at, excluded.change_1h,
    excluded.change_24h, excluded.change_7d, excluded.change_30d, excluded.tvl_usd
)
"""

_WITH_OURS = """
SELECT m.asset_id, m.price_usd, ours.price
FROM unnest(%(bases)s::text[], %(prices)s::float8[]) AS ours (base, price)
JOIN asset_bases b USING (base)
JOIN asset_metrics m ON m.asset_id = b.asset_id AND m.ts = %(hour)s AND m.source = 'coingecko'
WHERE m.price_usd > 0 AND ours.price > 0
ORDER BY m.asset_id
"""

_BOTH_SOURCES = """
SELECT one.asset_id, one.price_usd, other.price_usd
FROM asset_metrics one
JOIN asset_metrics other ON other.asset_id = one.asset_id AND other.ts = one.ts
WHERE one.ts = %(hour)s AND one.source = 'coingecko' AND other.source = 'coinmarketcap'
  AND one.price_usd > 0 AND other.price_usd > 0
ORDER BY one.asset_id
"""
