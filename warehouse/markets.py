"""The table of markets: who has which id, and what their exchange says about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import psycopg

from coinwatch.records import Instrument, Market, MarketStatus, Symbol


class KnownMarket(msgspec.Struct, frozen=True):
    """A row of markets as read."""

    id: int
    market: Market
    is_active: bool
    is_listed: bool
    """Its exchange's list of instruments has told of it; else it is only known because it was streamed."""


async def ensure_markets(
    conn: psycopg.AsyncConnection, native_by_market: Mapping[Market, str]
) -> dict[Market, int]:
    """Insert the markets that are missing, with the exchange's own spelling; returns the id of each.

    Markets that are there stay as they are.
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


async def upsert_instruments(
    conn: psycopg.AsyncConnection, instruments: Sequence[Instrument]
) -> tuple[int, int]:
    """Store what exchanges list: returns how many markets are new, and how many changed.

    Status, spelling and steps are kept current; a step the exchange does not give is left as it
    was. A market that is not listed any more is not deleted.
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
        },
    )
    new = [is_new for (is_new,) in await cursor.fetchall()]
    return sum(new), len(new) - sum(new)


async def markets_by_id(conn: psycopg.AsyncConnection) -> dict[int, Market]:
    """Every market there is."""
    rows = await (await conn.execute("SELECT id, exchange, base, quote FROM markets")).fetchall()
    return {market_id: Market(exchange, Symbol(base, quote)) for market_id, exchange, base, quote in rows}


async def known_markets(conn: psycopg.AsyncConnection) -> list[KnownMarket]:
    """Every market there is, with what is known of it."""
    rows = await (await conn.execute(_KNOWN)).fetchall()
    return [
        KnownMarket(
            market_id, Market(exchange, Symbol(base, quote)), status == MarketStatus.ACTIVE, is_listed
        )
        for market_id, exchange, base, quote, status, is_listed in rows
    ]


async def is_active(conn: psycopg.AsyncConnection, market_id: int) -> bool:
    """Whether its exchange still lists the market."""
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

# Only a list of instruments tells steps. Not each market of it has them, and not each exchange.
_KNOWN = """
SELECT id, exchange, base, quote, status, price_step IS NOT NULL OR amount_step IS NOT NULL FROM markets
"""

_UPSERT = """
INSERT INTO markets AS m (exchange, symbol, base, quote, native, status, delisted_at, price_step, amount_step)
SELECT exchange, base || '-' || quote, base, quote, native, status,
       CASE WHEN status = 'delisted' THEN now() END, price_step, amount_step
FROM unnest(%(exchanges)s::text[], %(bases)s::text[], %(quotes)s::text[], %(natives)s::text[],
            %(statuses)s::text[], %(price_steps)s::float8[], %(amount_steps)s::float8[])
     AS given (exchange, base, quote, native, status, price_step, amount_step)
ORDER BY exchange, base, quote
ON CONFLICT (exchange, symbol) DO UPDATE SET
    native = excluded.native,
    status = excluded.status,
    delisted_at = CASE WHEN excluded.status = 'delisted' THEN coalesce(m.delisted_at, now()) END,
    price_step = coalesce(excluded.price_step, m.price_step),
    amount_step = coalesce(excluded.amount_step, m.amount_step),
    updated_at = now()
WHERE (m.native, m.status, m.price_step, m.amount_step) IS DISTINCT FROM (
    excluded.native, excluded.status,
    coalesce(excluded.price_step, m.price_step), coalesce(excluded.amount_step, m.amount_step)
)
RETURNING xmax = 0
"""
