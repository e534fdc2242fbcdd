"""The table of markets: ids, listings and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import psycopg

from coinwatch.records import Instrument, Market, MarketStatus, Symbol
from coinwatch.settings import Settings
from coinwatch.times import to_datetime

DOLLARS_AND_EUROS = ("USD", "USDT", "USDC", "EUR")
"""Quotes whose volumes are near enough to each other to be compared as they are."""


class KnownMarket(msgspec.Struct, frozen=True):
    """A row of markets."""

    id: int
    market: Market
    is_active: bool
    is_listed: bool
    """It was in its exchange's list of instruments; otherwise it is only known because it was streamed."""


class ListChanges(msgspec.Struct, frozen=True):
    """The effect of storing a list of instruments."""

    inserted: int = 0
    """New rows of any status."""
    changed: int = 0
    """Existing rows with changes."""
    new: tuple[Market, ...] = ()
    """Active for the first time."""
    back: tuple[Market, ...] = ()
    """Delisted before, active again."""
    delisted: tuple[Market, ...] = ()
    """Active before, no longer traded or listed."""
    doubted: int = 0
    """Active markets missing from a list that is implausibly short; they stay active."""


class MarketIds(dict[Market, int]):
    """The ids of the markets a process works with: read as a mapping, extended only by ``resolve``.

    One object is shared by all tasks of a process, so that each sees the markets the others resolve.
    """

    async def resolve(
        self, conn: psycopg.AsyncConnection, native_by_market: Mapping[Market, str]
    ) -> dict[Market, int]:
        """The id of each market, as ``ensure_markets``; Postgres is asked only for those not known yet."""
        missing = {market: native for market, native in native_by_market.items() if market not in self}
        if missing:
            self.update(await ensure_markets(conn, missing))
        return {market: self[market] for market in native_by_market}


async def ensure_markets(
    conn: psycopg.AsyncConnection, native_by_market: Mapping[Market, str]
) -> dict[Market, int]:
    """Insert missing markets with their native symbols; return the id of each.

    Existing markets do not change.
    """
    markets = sorted(native_by_market)
    keys = {
        "exchanges": [market.exchange for market in markets],
        "bases": [market.symbol.base for market in markets],
        "quotes": [market.symbol.quote for market in markets],
    }
    await conn.execute(_INSERT_MISSING, {**keys, "natives": [native_by_market[market] for market in markets]})
    rows = await (await conn.execute(_IDS, keys)).fetchall()
    return {Market(exchange, Symbol(base, quote)): market_id for market_id, exchange, base, quote in rows}


async def store_list(
    conn: psycopg.AsyncConnection, exchange: str, instruments: Sequence[Instrument]
) -> ListChanges:
    """Store the complete list of an exchange. Markets missing from it are delisted, never deleted.

    A list with fewer than half of the active markets is taken for a broken response or an exchange in
    maintenance: new markets are stored, and none is delisted.
    """
    traded = {listed.market for listed in instruments if listed.status is MarketStatus.ACTIVE}
    async with conn.transaction():
        await conn.execute(_ONE_AT_A_TIME, {"exchange": exchange})
        rows = await (await conn.execute(_ACTIVE, {"exchange": exchange})).fetchall()
        active = {Market(exchange, Symbol(base, quote)): market_id for base, quote, market_id in rows}
        gone = sorted(active.keys() - traded)
        if 2 * len(traded) < len(active):
            kept = [listed for listed in instruments if listed.market not in gone]
            changes = await upsert_instruments(conn, kept)
            return msgspec.structs.replace(changes, doubted=len(gone))
        changes = await upsert_instruments(conn, instruments)
        unlisted = sorted(set(gone).difference(changes.delisted))
        await conn.execute(_DELIST, {"ids": [active[market] for market in unlisted]})
    return msgspec.structs.replace(
        changes,
        changed=changes.changed + len(unlisted),
        delisted=tuple(sorted([*changes.delisted, *unlisted])),
    )


async def upsert_instruments(conn: psycopg.AsyncConnection, instruments: Sequence[Instrument]) -> ListChanges:
    """Store instruments of some markets.

    Updates status, native symbol, steps and listing time; values that are not given keep theirs.
    """
    by_market = {instrument.market: instrument for instrument in instruments}
    ordered = [by_market[market] for market in sorted(by_market)]
    cursor = await conn.execute(
        _UPSERT,
        {
            "exchanges": [instrument.market.exchange for instrument in ordered],
            "bases": [instrument.market.symbol.base for instrument in ordered],
            "quotes": [instrument.market.symbol.quote for instrument in ordered],
            "natives": [instrument.native for instrument in ordered],
            "statuses": [instrument.status.value for instrument in ordered],
            "price_steps": [instrument.price_step for instrument in ordered],
            "amount_steps": [instrument.amount_step for instrument in ordered],
            "listed": [
                None if instrument.listed_us is None else to_datetime(instrument.listed_us)
                for instrument in ordered
            ],
        },
    )
    rows = await cursor.fetchall()
    named: dict[str, list[Market]] = {"new": [], "back": [], "delisted": []}
    for exchange, base, quote, _, event in rows:
        if event is not None:
            named[event].append(Market(exchange, Symbol(base, quote)))
    inserted = sum(is_new for _, _, _, is_new, _ in rows)
    return ListChanges(
        inserted=inserted,
        changed=len(rows) - inserted,
        new=tuple(sorted(named["new"])),
        back=tuple(sorted(named["back"])),
        delisted=tuple(sorted(named["delisted"])),
    )


async def store_volumes(conn: psycopg.AsyncConnection, exchange: str, volumes: Mapping[str, float]) -> int:
    """Store the volumes of 24 hours, in the quote asset, by native name; returns how many changed.

    Markets that are not in ``volumes`` keep theirs.
    """
    given = {"exchange": exchange, "natives": list(volumes), "volumes": list(volumes.values())}
    async with conn.transaction():
        await conn.execute(_ONE_AT_A_TIME, {"exchange": exchange})
        return (await conn.execute(_STORE_VOLUMES, given)).rowcount


async def top_markets(conn: psycopg.AsyncConnection, n: int) -> list[Market]:
    """The ``n`` active markets with most volume among those quoted in DOLLARS_AND_EUROS, most first.

    Only exchanges known to Coinwatch that publish volumes.
    """
    given = {"exchanges": list(Settings.exchanges()), "quotes": list(DOLLARS_AND_EUROS), "n": n}
    rows = await (await conn.execute(_TOP, given)).fetchall()
    return [Market(exchange, Symbol(base, quote)) for exchange, base, quote in rows]


async def markets_by_id(conn: psycopg.AsyncConnection) -> dict[int, Market]:
    """Every stored market, by id."""
    rows = await (await conn.execute("SELECT id, exchange, base, quote FROM markets")).fetchall()
    return {market_id: Market(exchange, Symbol(base, quote)) for market_id, exchange, base, quote in rows}


async def known_markets(conn: psycopg.AsyncConnection) -> list[KnownMarket]:
    """Every stored market with its status."""
    rows = await (await conn.execute(_KNOWN)).fetchall()
    return [
        KnownMarket(
            market_id, Market(exchange, Symbol(base, quote)), status == MarketStatus.ACTIVE, is_listed
        )
        for market_id, exchange, base, quote, status, is_listed in rows
    ]


async def is_active(conn: psycopg.AsyncConnection, market_id: int) -> bool:
    """Whether the exchange still lists the market."""
    cursor = await conn.execute("SELECT status = 'active' FROM markets WHERE id = %s", (market_id,))
    row = await cursor.fetchone()
    return bool(row and row[0])


# Sorted, so that two processes storing the same markets cannot wait for each other in a circle.
# The anti-join keeps ids from being used up by markets that exist.
_INSERT_MISSING = """
INSERT INTO markets (exchange, symbol, base, quote, native)
SELECT exchange, base || '-' || quote, base, quote, native
FROM unnest(%(exchanges)s::text[], %(bases)s::text[], %(quotes)s::text[], %(natives)s::text[])
     AS wanted (exchange, base, quote, native)
WHERE NOT EXISTS (
    SELECT FROM markets m
    WHERE m.exchange = wanted.exchange AND m.symbol = wanted.base || '-' || wanted.quote
)
ORDER BY exchange, base, quote
ON CONFLICT (exchange, symbol) DO NOTHING
"""

_IDS = """
SELECT m.id, m.exchange, m.base, m.quote
FROM unnest(%(exchanges)s::text[], %(bases)s::text[], %(quotes)s::text[]) AS wanted (exchange, base, quote)
JOIN markets m ON m.exchange = wanted.exchange AND m.symbol = wanted.base || '-' || wanted.quote
"""

# Only lists of instruments have steps, and not for each market or exchange.
_KNOWN = """
SELECT id, exchange, base, quote, status, price_step IS NOT NULL OR amount_step IS NOT NULL FROM markets
"""

# A CTE sees the rows as they were before the statement; both have one row for each market.
_UPSERT = """
WITH given AS (
    SELECT *
    FROM unnest(%(exchanges)s::text[], %(bases)s::text[], %(quotes)s::text[], %(natives)s::text[],
                %(statuses)s::text[], %(price_steps)s::float8[], %(amount_steps)s::float8[],
                %(listed)s::timestamptz[])
         AS given (exchange, base, quote, native, status, price_step, amount_step, listed_at)
), before AS (
    SELECT m.exchange, m.symbol, m.status, m.delisted_at
    FROM given JOIN markets m ON m.exchange = given.exchange AND m.symbol = given.base || '-' || given.quote
), stored AS (
    INSERT INTO markets AS m (
        exchange, symbol, base, quote, native, status, listed_at, delisted_at, price_step, amount_step
    )
    SELECT exchange, base || '-' || quote, base, quote, native, status, listed_at,
           CASE WHEN status = 'delisted' AND listed_at > now() IS NOT TRUE THEN now() END,
           price_step, amount_step
    FROM given
    ORDER BY exchange, base, quote
    ON CONFLICT (exchange, symbol) DO UPDATE SET
        native = excluded.native,
        status = excluded.status,
        listed_at = coalesce(excluded.listed_at, m.listed_at),
        delisted_at = CASE
            WHEN excluded.status = 'delisted' THEN coalesce(m.delisted_at, excluded.delisted_at)
        END,
        price_step = coalesce(excluded.price_step, m.price_step),
        amount_step = coalesce(excluded.amount_step, m.amount_step),
        updated_at = now()
    WHERE (m.native, m.status, m.listed_at, m.price_step, m.amount_step) IS DISTINCT FROM (
        excluded.native, excluded.status, coalesce(excluded.listed_at, m.listed_at),
        coalesce(excluded.price_step, m.price_step), coalesce(excluded.amount_step, m.amount_step)
    )
    RETURNING exchange, symbol, base, quote, status
)
SELECT stored.exchange, stored.base, stored.quote, before.status IS NULL,
       CASE
           WHEN before.status = 'active' AND stored.status = 'delisted' THEN 'delisted'
           WHEN stored.status = 'active' AND before.delisted_at IS NOT NULL THEN 'back'
           WHEN stored.status = 'active' AND before.status IS DISTINCT FROM 'active' THEN 'new'
       END
FROM stored LEFT JOIN before USING (exchange, symbol)
"""

# No order of row locks is enough: of two lists stored at once, each has markets the other cannot see yet.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('markets of ' || %(exchange)s))"

_ACTIVE = "SELECT base, quote, id FROM markets WHERE exchange = %(exchange)s AND status = 'active'"

_DELIST = """
UPDATE markets SET status = 'delisted', delisted_at = now(), updated_at = now() WHERE id = ANY(%(ids)s)
"""

_STORE_VOLUMES = """
UPDATE markets m SET quote_volume_24h = given.volume
FROM (
    SELECT id, volume
    FROM unnest(%(natives)s::text[], %(volumes)s::float8[]) AS given (native, volume)
    JOIN markets ON markets.exchange = %(exchange)s AND markets.native = given.native
    WHERE markets.quote_volume_24h IS DISTINCT FROM given.volume
) AS given
WHERE m.id = given.id
"""

_TOP = """
SELECT exchange, base, quote
FROM markets
WHERE status = 'active' AND quote_volume_24h > 0
    AND exchange = ANY(%(exchanges)s) AND quote = ANY(%(quotes)s)
ORDER BY quote_volume_24h DESC, exchange, base, quote
LIMIT %(n)s
"""
