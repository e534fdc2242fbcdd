"""Bases of markets matched with assets, and hourly metrics of assets: writes and reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from coinwatch.assets import Metrics, MetricsSource
from coinwatch.times import to_datetime


class DecidedBase(NamedTuple):
    """A row of asset_bases."""

    base: str
    asset_id: str | None
    decided_by: str | None
    reason: str
    decided_at: datetime


class Difference(NamedTuple):
    """Two prices of one asset in one hour."""

    asset_id: str
    price_usd: float
    other_usd: float


async def our_prices(conn: psycopg.AsyncConnection, now_us: int) -> list[tuple[str, str, float]]:
    """The newest prices of pairs as (base, quote, price): averages, else the median of closed candles.

    None is older than two hours.
    """
    since = to_datetime(now_us) - timedelta(hours=2)
    return await (await conn.execute(_OUR_PRICES, {"since": since})).fetchall()


async def bases(conn: psycopg.AsyncConnection) -> dict[str, DecidedBase]:
    """The asset decided for each base, by base."""
    cursor = await conn.execute(
        "SELECT base, asset_id, decided_by, reason, decided_at FROM asset_bases ORDER BY base"
    )
    return {row[0]: DecidedBase(*row) for row in await cursor.fetchall()}


async def bases_on(conn: psycopg.AsyncConnection, exchange: str) -> set[str]:
    """The bases of the active markets of ``exchange``."""
    cursor = await conn.execute(
        "SELECT DISTINCT base FROM markets WHERE exchange = %s AND status = 'active'", [exchange]
    )
    return {base for (base,) in await cursor.fetchall()}


async def store_bases(
    conn: psycopg.AsyncConnection, decisions: Sequence[tuple[str, str | None, str | None, str]], now_us: int
) -> int:
    """Store decisions as (base, asset, decided by, reason); return how many changed their asset."""
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
    """Store the metrics from ``source`` for one hour, replacing those stored for it before.

    Unknown assets are skipped. Returns how many rows were stored.
    """
    ids = sorted(metrics)
    rows = [metrics[asset_id] for asset_id in ids]
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
    """Compare the prices stored for one hour with ``ours``, our own prices in USD by base.

    Returns how many assets were compared, and those that differ by more than ``most`` (0.05 is 5 %).
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
    """As ``differing_from_ours``, between CoinGecko and CoinMarketCap."""
    rows = await (await conn.execute(_BOTH_SOURCES, {"hour": to_datetime(hour_us)})).fetchall()
    return _differing(rows, most)


def _differing(rows: Sequence[tuple[Any, ...]], most: float) -> tuple[int, list[Difference]]:
    compared = [Difference(*row) for row in rows]
    far = [pair for pair in compared if max(pair[1:]) / min(pair[1:]) - 1 > most]
    return len(compared), far


# One index probe a pair, from the newest average backwards: the index begins with the pair.
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
         AS given (base, asset, decided_by, reason)
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
SELECT given.id, %(hour)s, %(source)s, observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd,
       circulating_supply, total_supply, max_supply, ath_usd, ath_at, atl_usd, atl_at,
       change_1h, change_24h, change_7d, change_30d, tvl_usd
FROM unnest(
    %(ids)s::text[], %(observed_us)s::timestamptz[], %(price_usd)s::float8[], %(market_cap_usd)s::float8[],
    %(rank)s::int[], %(fdv_usd)s::float8[], %(volume_24h_usd)s::float8[], %(circulating_supply)s::float8[],
    %(total_supply)s::float8[], %(max_supply)s::float8[], %(ath_usd)s::float8[], %(ath_us)s::timestamptz[],
    %(atl_usd)s::float8[], %(atl_us)s::timestamptz[], %(change_1h)s::float8[], %(change_24h)s::float8[],
    %(change_7d)s::float8[], %(change_30d)s::float8[], %(tvl_usd)s::float8[]
) AS given (
    id, observed_at, price_usd, market_cap_usd, rank, fdv_usd, volume_24h_usd, circulating_supply,
    total_supply, max_supply, ath_usd, ath_at, atl_usd, atl_at, change_1h, change_24h, change_7d,
    change_30d, tvl_usd
)
JOIN assets a ON a.id = given.id
ORDER BY given.id
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
