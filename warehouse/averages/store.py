"""Averages of pairs: written each second, announced, read, and thinned to one a minute after a week."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from psycopg import AsyncConnection, errors, sql

from coinwatch.averaging.average import Average, State
from coinwatch.errors import WarehouseError
from coinwatch.liveness import AVERAGE_STALE_US
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, SECOND_US, from_datetime, to_datetime, utc_day
from warehouse.db.notifications import in_parts
from warehouse.db.partitions import LOCK_TIMEOUT_MS

AVERAGES = "averages"
"""The channel on which every stored second is announced."""

FULL_DAYS = 7
"""Averages older than this are kept once a minute."""
_THINNED = "one row a minute"


class PairAverage(msgspec.Struct, frozen=True, kw_only=True):
    """A row of price_averages."""

    symbol: Symbol
    ts_us: int
    average: Average
    change_24h: float | None = None
    """0.01 is 1 %."""
    high_24h: float | None = None
    low_24h: float | None = None


class AverageMove(msgspec.Struct, frozen=True, array_like=True):
    """The price of one pair, as announced."""

    base: str
    quote: str
    price: float
    state: State


class AveragesNotice(msgspec.Struct, frozen=True):
    """One message on ``averages``. A second with many pairs sends several."""

    ts_us: int
    averages: list[AverageMove]


class LiveTrade(msgspec.Struct, frozen=True):
    """The last live trade of a market."""

    market_id: int
    price: float
    ts_us: int
    """The exchange's clock."""
    received_us: int
    """Our clock; never later than it was."""


_ENVELOPE_BYTES = len('{"ts_us":,"averages":[]}') + len(str(2**64))
_notices = msgspec.json.Decoder(AveragesNotice)
_encode = msgspec.json.Encoder().encode

_WRITE = """
insert into price_averages (ts, base, quote, price, confidence, method, state, exchanges, inputs,
                            change_24h, high_24h, low_24h)
select %s, symbol.base, symbol.quote, average.price, average.confidence, average.method, average.state,
       average.exchanges, average.inputs, pair.change_24h, pair.high_24h, pair.low_24h
from jsonb_to_recordset(%s::jsonb)
         as pair (symbol jsonb, average jsonb, change_24h float8, high_24h float8, low_24h float8),
     jsonb_to_record(pair.symbol) as symbol (base text, quote text),
     jsonb_to_record(pair.average) as average (price float8, confidence float8, method text, state text,
                                               exchanges text[], inputs jsonb)
on conflict do nothing
returning base, quote
"""

# Rows of stream_health are up to a second old; ticks are current, but have no time of receipt. A trade
# known from ticks alone counts as received at its own time, which is never too late.
_LIVE_TRADES = """
with heard as (
    select market_id, last_price as price, last_trade_ts as ts,
           least(last_received_at, clock_timestamp()) as received_at
    from stream_health
    where last_price is not null and last_trade_ts is not null and last_received_at >= %(since)s
), stored as (
    select id as market_id, newest.price, newest.ts, newest.ts as received_at
    from markets
    cross join lateral (
        select price, ts from ticks
        where market_id = id and day >= %(day)s and ts >= %(since)s and ts <= clock_timestamp()
        order by ts desc, trade_id desc limit 1
    ) newest
)
select distinct on (market_id) market_id, price, ts, received_at
from (select * from heard union all select * from stored) known
order by market_id, ts desc, received_at desc
"""

_QUARANTINED = "select market_id, min(since) from quarantines where released_at is null group by market_id"

_QUARANTINE = """
insert into quarantines (market_id, since, deviation) values (%s, %s, %s)
on conflict (market_id, since) do nothing
"""

_RELEASE = """
update quarantines set released_at = now(), deviation = %s where market_id = %s and released_at is null
"""

_LATEST = sa.text("""
select distinct on (base, quote) base, quote, ts, price, confidence, method, state, exchanges, inputs,
    change_24h, high_24h, low_24h
from price_averages
where ts > :since and ts <= :until
order by base, quote, ts desc
limit 2000""")

_UNTHINNED = """
select relname from pg_inherits join pg_class on oid = inhrelid
where inhparent = 'price_averages'::regclass and not inhdetachpending and relname < %s
  and obj_description(oid, 'pg_class') is distinct from %s
order by relname
"""

_THIN = """
delete from {day} as later
where exists (
    select from {day} as earlier
    where earlier.base = later.base and earlier.quote = later.quote
      and earlier.ts >= date_trunc('minute', later.ts) and earlier.ts < later.ts
)
"""


async def write_averages(conn: AsyncConnection, ts_us: int, averages: Sequence[PairAverage]) -> int:
    """Store the averages of one second, and announce those that were not there yet; returns how many.

    One transaction. The partition of the day must exist.
    """
    if not averages:
        return 0
    async with conn.transaction():
        cursor = await conn.execute(_WRITE, (to_datetime(ts_us), _encode(averages).decode()))
        stored = {Symbol(base, quote) for base, quote in await cursor.fetchall()}
        notices = encode_averages(ts_us, [pair for pair in averages if pair.symbol in stored])
        if notices:
            await conn.execute(
                "select pg_notify(%s, payload) from unnest(%s::text[]) as payload", (AVERAGES, notices)
            )
    return len(stored)


def encode_averages(ts_us: int, averages: Sequence[PairAverage]) -> list[str]:
    """The payloads that announce ``averages``."""
    moves = (
        _encode(AverageMove(pair.symbol.base, pair.symbol.quote, pair.average.price, pair.average.state))
        for pair in averages
    )
    return [f'{{"ts_us":{ts_us},"averages":{part}}}' for part in in_parts(moves, _ENVELOPE_BYTES)]


def decode_averages(payload: str) -> AveragesNotice:
    """Decode a payload of the channel ``averages``. Raises WarehouseError when it is not one of ours."""
    try:
        return _notices.decode(payload)
    except msgspec.DecodeError as error:
        raise WarehouseError(f"not a notice of averages ({error}): {payload[:200]!r}") from None


async def live_trades(conn: AsyncConnection, since_us: int) -> list[LiveTrade]:
    """The last trade of each market that traded since ``since_us``: the start of a new listener."""
    asked = {"since": to_datetime(since_us), "day": utc_day(since_us)}
    rows = await (await conn.execute(_LIVE_TRADES, asked)).fetchall()
    return [
        LiveTrade(market_id, price, from_datetime(ts), from_datetime(received_at))
        for market_id, price, ts, received_at in rows
    ]


async def quarantined(conn: AsyncConnection) -> dict[int, int]:
    """The start of the quarantine of each quarantined market, in microseconds, by market id."""
    rows = await (await conn.execute(_QUARANTINED)).fetchall()
    return {market_id: from_datetime(since) for market_id, since in rows}


async def quarantine(conn: AsyncConnection, market_id: int, since_us: int, deviation: float) -> None:
    """Record that a market is excluded from averages, ``deviation`` away from the others since then."""
    await conn.execute(_QUARANTINE, (market_id, to_datetime(since_us), deviation))


async def release_from_quarantine(conn: AsyncConnection, market_id: int, deviation: float) -> None:
    """Record that a market is included again, ``deviation`` away from the others."""
    await conn.execute(_RELEASE, (deviation, market_id))


def latest_averages(conn: sa.Connection, now_us: int) -> tuple[PairAverage, ...]:
    """The newest average of each pair that has one of the last 10 s."""
    window = {"since": to_datetime(now_us - AVERAGE_STALE_US), "until": to_datetime(now_us + SECOND_US)}
    return tuple(
        PairAverage(
            symbol=Symbol(row.base, row.quote),
            ts_us=from_datetime(row.ts),
            average=msgspec.convert(dict(row._mapping), Average),
            change_24h=row.change_24h,
            high_24h=row.high_24h,
            low_24h=row.low_24h,
        )
        for row in conn.execute(_LATEST, window)
    )


async def thin(conn: AsyncConnection, now_us: int) -> list[str]:
    """Keep only the first row of each minute of days older than a week; return the partitions thinned.

    ``conn`` must be in autocommit; its lock_timeout changes. A day that is in use is left for the next run.
    """
    first_kept = f"price_averages_{utc_day(now_us - FULL_DAYS * DAY_US):%Y_%m_%d}"
    names = [name for (name,) in await (await conn.execute(_UNTHINNED, (first_kept, _THINNED))).fetchall()]
    await conn.execute("select set_config('lock_timeout', %s, false)", [str(LOCK_TIMEOUT_MS)])
    thinned = []
    for name in names:
        day = sql.Identifier(name)
        try:
            await conn.execute(sql.SQL(_THIN).format(day=day))
            await conn.execute(sql.SQL("vacuum (full, analyze) {}").format(day))
            await conn.execute(sql.SQL("comment on table {} is {}").format(day, sql.Literal(_THINNED)))
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            continue
        thinned.append(name)
    return thinned
