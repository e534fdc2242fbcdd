"""The markets that armed alert rules need, so that a daemon streams them."""

from __future__ import annotations

from psycopg import AsyncConnection, sql

from coinwatch.records import Market, Symbol
from warehouse.alerts.rules import ALERT_RULES

# It goes through all rules, which are folded to the few markets they name before anything is looked up.
_WATCHED = """
with watched as (
    select exchange, base, quote from alert_rules where armed group by exchange, base, quote
)
select exchange, base, quote from watched where exchange is not null
union
select m.exchange, m.base, m.quote
from watched w
join markets m on m.base = w.base and m.quote = w.quote
where w.exchange is null and m.status = 'active'
"""


async def watched_markets(conn: AsyncConnection) -> set[Market]:
    """The markets that armed alert rules need.

    A rule on one exchange needs that market, whether or not ``markets`` has it yet. A rule on any
    exchange needs every market of its pair that ``markets`` has as active: none when it has none.
    """
    cursor = await conn.execute(_WATCHED)
    return {Market(exchange, Symbol(base, quote)) for exchange, base, quote in await cursor.fetchall()}


async def listen_for_watches(conn: AsyncConnection) -> None:
    """Start listening for the changes that ``watches_changed`` reports."""
    await conn.execute(sql.SQL("listen {}").format(sql.Identifier(ALERT_RULES)))


async def watches_changed(conn: AsyncConnection) -> bool:
    """Whether rules were created, changed or removed since the last call. Firings do not count."""
    return bool([notify async for notify in conn.notifies(timeout=0)])
