"""What an alert endpoint has to know of the past: last prices, windows, and whole stretches of trades."""

# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence

import msgspec
from psycopg import AsyncConnection

from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, from_datetime, to_datetime, utc_day
from warehouse.alerts.snapshots import CHUNK_ROWS, CommitSnapshot, StoredTrade, read_stored

LAST_PRICE_US = 2 * DAY_US
"""Last prices are not looked for further back."""


class LastPrice(msgspec.Struct, frozen=True):
    market_id: int
    price: float
    ts_us: int
    tx: int


class Slot(msgspec.Struct, frozen=True, gc=False):
    """What was traded in one stretch of a window."""

    ts_us: int
    low: float
    high: float
    volume: float
    tx: int
    """The last commit in it; 0 where it is from a candle."""


class Close(msgspec.Struct, frozen=True):
    close_us: int
    price: float


# What a commit is visible in: parameter seen, null for everything there is.
_SEEN = """
(%(seen)s::text is null or tx < pg_snapshot_xmin(%(seen)s::pg_snapshot)::text::bigint
 or pg_visible_in_snapshot(tx::text::xid8, %(seen)s::pg_snapshot))
"""

_LAST = f"""
select id, t.price, t.ts, t.tx
from unnest(%(ids)s::int[]) as id
cross join lateral (
    select price, ts, tx from ticks
    where market_id = id and day >= %(day)s and ts < %(before)s and {_SEEN}
    order by ts desc, trade_id desc limit 1
) t
"""

_SLOTS = f"""
with traded as (
    select date_bin(make_interval(secs => %(slot_s)s), ts, 'epoch') as slot, min(price) as low,
           max(price) as high, sum(amount) as volume, max(tx) as tx
    from ticks
    where market_id = %(market_id)s and day >= %(day)s and ts >= %(since)s and ts < %(until)s and {_SEEN}
      and (%(through_tx)s::bigint is null or tx <= %(through_tx)s)
    group by 1
)
select open_ts, low, high, volume, 0 from candles
where market_id = %(market_id)s and interval = '1m' and %(slot_s)s >= 60
  and open_ts >= %(since)s and open_ts < coalesce((select min(slot) from traded), %(until)s)
union all
select slot, low, high, volume, tx from traded
order by 1
"""

_STRETCH = """
select t.market_id, t.tx, m.exchange, m.base, m.quote, t.trade_id, t.ts, t.price, t.amount, t.taker_buys
from ticks t join markets m on m.id = t.market_id
where t.market_id = any(%(ids)s) and t.day between %(first_day)s and %(last_day)s
  and t.ts >= %(since)s and t.ts < %(until)s
order by t.ts, t.market_id, t.trade_id
"""

_AVERAGES = """
select ts, price from price_averages
where base = %(base)s and quote = %(quote)s and ts >= %(since)s and ts < %(until)s
order by ts
limit 100000
"""

_AVERAGE_SLOTS = """
select date_bin(make_interval(secs => %(slot_s)s), ts, 'epoch') as slot, min(price), max(price)
from price_averages
where base = %(base)s and quote = %(quote)s and ts >= %(since)s and ts < %(until)s
group by 1
order by 1
"""

_AVERAGED_BEFORE = """
select exists (select from price_averages where base = %s and quote = %s and ts < %s)
"""

_KNOWN_BEFORE = """
select exists (
    select from candles where market_id = %(market_id)s and interval = %(interval)s and open_ts < %(ts)s
) or %(of_trades)s and exists (
    select from ticks where market_id = %(market_id)s and ts < %(ts)s and day <= %(day)s
)
"""

_CLOSES = """
select open_ts, close from candles
where market_id = %(market_id)s and interval = %(interval)s and open_ts >= %(since)s and open_ts < %(until)s
order by open_ts
limit 600000
"""

_FIRST_GAP = """
select min(after_ts) from stream_gaps where state = 'open' or closed_at >= %s
"""


async def last_prices(
    conn: AsyncConnection, market_ids: Collection[int], before_us: int, seen: CommitSnapshot | None = None
) -> list[LastPrice]:
    """The last price of each market before ``before_us``, of what was committed at ``seen``."""
    asked = {
        "ids": list(market_ids),
        "before": to_datetime(before_us),
        "day": utc_day(before_us - LAST_PRICE_US),
        "seen": seen.snapshot if seen else None,
    }
    rows = await (await conn.execute(_LAST, asked)).fetchall()
    return [LastPrice(market_id, price, from_datetime(ts), tx) for market_id, price, ts, tx in rows]


async def slots(
    conn: AsyncConnection,
    market_id: int,
    *,
    since_us: int,
    until_us: int,
    slot_s: int,
    seen: CommitSnapshot | None = None,
    through_tx: int | None = None,
) -> list[Slot]:
    """What a market traded, by slots of seconds, or of minutes: those from candles where no trade is kept.

    Of what was committed at ``seen``, and by commits up to ``through_tx``, as far as these are given.
    """
    asked = {
        "market_id": market_id,
        "since": to_datetime(since_us),
        "until": to_datetime(until_us),
        "day": utc_day(since_us),
        "slot_s": slot_s,
        "through_tx": through_tx,
        "seen": seen.snapshot if seen else None,
    }
    rows = await (await conn.execute(_SLOTS, asked)).fetchall()
    return [Slot(from_datetime(ts), low, high, volume, tx) for ts, low, high, volume, tx in rows]


async def stretch(
    conn: AsyncConnection, market_ids: Collection[int], since_us: int, until_us: int
) -> AsyncGenerator[list[StoredTrade], None]:
    """Every trade of some markets within a stretch of time, by (ts, market, trade id), in chunks.

    Call it inside a transaction.
    """
    async with conn.cursor(name="stretch") as cursor:
        await cursor.execute(
            _STRETCH,
            {
                "ids": list(market_ids),
                "since": to_datetime(since_us),
                "until": to_datetime(until_us),
                "first_day": utc_day(since_us),
                "last_day": utc_day(until_us),
            },
        )
        while rows := await cursor.fetchmany(CHUNK_ROWS):
            yield [read_stored(row) for row in rows]


async def is_known_before(
    conn: AsyncConnection, market_id: int, ts_us: int, interval: Interval | None = None
) -> bool:
    """Whether anything of a market is stored from before ``ts_us``; of one kind of candles, where given."""
    asked = {
        "market_id": market_id,
        "interval": interval or Interval.M1,
        "of_trades": interval is None,
        "ts": to_datetime(ts_us),
        "day": utc_day(ts_us),
    }
    row = await (await conn.execute(_KNOWN_BEFORE, asked)).fetchone()
    return bool(row and row[0])


async def is_averaged_before(conn: AsyncConnection, symbol: Symbol, ts_us: int) -> bool:
    """Whether an average of a pair is stored from before ``ts_us``."""
    asked = (symbol.base, symbol.quote, to_datetime(ts_us))
    row = await (await conn.execute(_AVERAGED_BEFORE, asked)).fetchone()
    return bool(row and row[0])


async def average_slots(
    conn: AsyncConnection, symbol: Symbol, *, since_us: int, until_us: int, slot_s: int
) -> list[Slot]:
    """As ``slots``, of the averages of a pair."""
    asked = {
        "base": symbol.base,
        "quote": symbol.quote,
        "since": to_datetime(since_us),
        "until": to_datetime(until_us),
        "slot_s": slot_s,
    }
    rows = await (await conn.execute(_AVERAGE_SLOTS, asked)).fetchall()
    return [Slot(from_datetime(ts), low, high, 0.0, 0) for ts, low, high in rows]


async def averages_within(
    conn: AsyncConnection, symbol: Symbol, since_us: int, until_us: int
) -> Sequence[tuple[int, float]]:
    """The stored averages of a pair: (ts_us, price), in order; at most 100,000."""
    asked = {
        "base": symbol.base,
        "quote": symbol.quote,
        "since": to_datetime(since_us),
        "until": to_datetime(until_us),
    }
    rows = await (await conn.execute(_AVERAGES, asked)).fetchall()
    return [(from_datetime(ts), price) for ts, price in rows]


async def closes(
    conn: AsyncConnection, market_id: int, interval: Interval, since_us: int, until_us: int
) -> list[Close]:
    """The closes of the stored candles that closed after ``since_us`` and up to ``until_us``, in order."""
    asked = {
        "market_id": market_id,
        "interval": interval.value,
        "since": to_datetime(since_us - interval.us + 1),
        "until": to_datetime(until_us - interval.us + 1),
    }
    rows = await (await conn.execute(_CLOSES, asked)).fetchall()
    return [Close(from_datetime(ts) + interval.us, price) for ts, price in rows]


async def first_open_gap_us(conn: AsyncConnection, since_us: int) -> int | None:
    """Where the first interruption begins that is open, or was closed since ``since_us``."""
    row = await (await conn.execute(_FIRST_GAP, (to_datetime(since_us),))).fetchone()
    return from_datetime(row[0]) if row and row[0] else None
