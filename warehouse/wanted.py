"""Which markets somebody waits for, so that a daemon streams them."""

from __future__ import annotations

from psycopg import AsyncConnection

from coinwatch.records import Market, Symbol

# Asked every second: the rules are folded to the few markets they name before anything is looked up.
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
