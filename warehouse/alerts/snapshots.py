"""The progress of alert endpoints: which commits each has processed, and what it missed.

A CommitSnapshot is a ``pg_snapshot``: commits visible in it are processed, all others are not. A cursor on
times or ids would lose rows, because neither follows the order of commits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Self

import msgspec
from psycopg import AsyncConnection

from coinwatch.records import Market, Symbol, Trade
from coinwatch.times import from_datetime, to_datetime
from warehouse.alerts.rules import ALERT_RULES
from warehouse.db.notifications import MarketMove
from warehouse.ops.health import beat

SERVICE = "alerts"

LEASE_S = 30
"""An endpoint without a heartbeat for this long is dead, and so are its unnamed clients."""

CHUNK_ROWS = 2_000


class CommitSnapshot(msgspec.Struct, frozen=True):
    """The commits visible at one moment."""

    snapshot: str
    """``pg_snapshot`` as Postgres writes it: ``xmin:xmax:xid,xid…``."""
    at_us: int
    """The clock of the database."""

    def sees(self, tx: int) -> bool:
        """Whether transaction ``tx`` had committed."""
        xmin, xmax, running = self.snapshot.split(":")
        return tx < int(xmin) or (tx < int(xmax) and str(tx) not in running.split(","))

    @property
    def ended_through(self) -> int:
        """Every transaction up to this one had ended."""
        return int(self.snapshot.split(":")[0]) - 1

    def as_detail(self) -> dict[str, Any]:
        return {"snapshot": self.snapshot, "looked_at_us": self.at_us}

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> Self:
        return cls(detail["snapshot"], detail["looked_at_us"])


class PriceRange(msgspec.Struct, frozen=True):
    """The trades to read of one market: from ``since_us`` on, at or beyond either price."""

    market_id: int
    since_us: int
    at_or_above: float
    at_or_below: float


class StoredTrade(msgspec.Struct, frozen=True):
    """A trade and the commit that stored it."""

    market_id: int
    tx: int
    trade: Trade


_TAKE_SNAPSHOT = "select pg_current_snapshot()::text, clock_timestamp()"

_LAST_SNAPSHOT = """
select detail from service_heartbeats
where service = %s and detail ? 'snapshot'
order by (detail ->> 'looked_at_us')::bigint desc
limit 1
"""

_MARK = "select pg_notify(%s, %s)"

# After a restart of the server, endpoints get time to reconnect before they count as dead.
_END_DEAD = f"""
with alive as (
    select instance from service_heartbeats
    where service = %(service)s and beat_at > now() - make_interval(secs => %(lease_s)s)
), gone as (
    delete from alert_rules
    where connection is not null
      and split_part(connection, '/', 1) not in (select instance from alive)
      and pg_postmaster_start_time() < now() - make_interval(secs => %(lease_s)s)
    returning id
), forgotten as (
    delete from service_heartbeats
    where service = %(service)s and instance not in (select instance from alive)
)
select count(pg_notify('{ALERT_RULES}', id::text)) from gone
"""  # noqa: S608  # the name of a channel, a constant of ours

_OF_COMMIT = """
select trade_id, ts, price, amount, taker_buys from ticks
where market_id = %(market_id)s and trade_id between %(first_id)s and %(last_id)s and tx = %(tx)s
  and day between %(first_day)s and %(last_day)s
order by ts, trade_id
"""

_MISSED = """
select t.market_id, t.tx, m.exchange, m.base, m.quote, t.trade_id, t.ts, t.price, t.amount, t.taker_buys
from unnest(%(market_ids)s::int[], %(since)s::timestamptz[], %(above)s::float8[], %(below)s::float8[])
     as wanted (market_id, since, above, below)
join ticks t on t.market_id = wanted.market_id
    and t.ts >= wanted.since and t.day >= (wanted.since at time zone 'UTC')::date
join markets m on m.id = t.market_id
where (t.price >= wanted.above or t.price <= wanted.below)
  and t.tx >= pg_snapshot_xmin(%(seen)s::pg_snapshot)::text::bigint
  and not pg_visible_in_snapshot(t.tx::text::xid8, %(seen)s::pg_snapshot)
order by t.ts, t.market_id, t.trade_id
"""


@asynccontextmanager
async def consistent_reads(conn: AsyncConnection) -> AsyncIterator[CommitSnapshot]:
    """A transaction in which all reads see the snapshot it yields."""
    async with conn.transaction():
        await conn.execute("set transaction isolation level repeatable read, read only")
        yield await take_snapshot(conn)


async def take_snapshot(conn: AsyncConnection) -> CommitSnapshot:
    """The snapshot of now."""
    row = await (await conn.execute(_TAKE_SNAPSHOT)).fetchone()
    assert row is not None  # noqa: S101  # one row, always
    return CommitSnapshot(row[0], from_datetime(row[1]))


async def last_snapshot(conn: AsyncConnection) -> CommitSnapshot | None:
    """The newest snapshot stored by any endpoint: each endpoint processes all rules."""
    row = await (await conn.execute(_LAST_SNAPSHOT, (SERVICE,))).fetchone()
    return CommitSnapshot.from_detail(row[0]) if row else None


async def mark(
    conn: AsyncConnection,
    *,
    instance: str,
    started_at: datetime,
    processed: CommitSnapshot | None,
    detail: Mapping[str, Any],
    channel: str,
    number: int,
) -> CommitSnapshot:
    """Write a heartbeat with the snapshot processed so far; notify ``channel`` of mark ``number``.

    Notifications arrive in commit order: when the mark arrives, the notifications of every commit visible
    in the returned snapshot have arrived.
    """
    async with conn.transaction():
        now = await take_snapshot(conn)
        await beat(
            conn, SERVICE, instance, started_at, {**detail, **(processed.as_detail() if processed else {})}
        )
        await conn.execute(_MARK, (channel, str(number)))
    return now


async def end_dead_endpoints(conn: AsyncConnection, lease_s: float = LEASE_S) -> int:
    """Remove the rules of unnamed clients of dead endpoints; return how many.

    Also deletes the heartbeats of those endpoints, so store a snapshot of your own first.
    """
    row = await (await conn.execute(_END_DEAD, {"service": SERVICE, "lease_s": lease_s})).fetchone()
    return row[0] if row else 0


async def trades_of_commit(conn: AsyncConnection, tx: int, market: Market, move: MarketMove) -> list[Trade]:
    """The trades that transaction ``tx`` stored for one market, by (ts, trade id)."""
    last_day = to_datetime(move.last_ts_us).date()
    trades = await _trades_of_commit(conn, tx, market, move, last_day - timedelta(days=1), last_day)
    if len(trades) < move.count:  # rare: one commit over many days
        trades = await _trades_of_commit(conn, tx, market, move, date.min, date.max)
    return trades


async def _trades_of_commit(
    conn: AsyncConnection, tx: int, market: Market, move: MarketMove, first_day: date, last_day: date
) -> list[Trade]:
    cursor = await conn.execute(
        _OF_COMMIT,
        {
            "market_id": move.market_id,
            "first_id": move.first_id,
            "last_id": move.last_id,
            "tx": tx,
            "first_day": first_day,
            "last_day": last_day,
        },
    )
    return [
        Trade(market, trade_id, from_datetime(ts), price, amount, taker_buys)
        for trade_id, ts, price, amount, taker_buys in await cursor.fetchall()
    ]


async def missed_trades(
    conn: AsyncConnection, seen: CommitSnapshot, ranges: Sequence[PriceRange]
) -> AsyncGenerator[list[StoredTrade], None]:
    """Trades committed since ``seen`` that can matter, by (ts, market, trade id), in chunks.

    Call it inside a transaction.
    """
    parameters = {
        "market_ids": [range_.market_id for range_ in ranges],
        "since": [to_datetime(range_.since_us) for range_ in ranges],
        "above": [range_.at_or_above for range_ in ranges],
        "below": [range_.at_or_below for range_ in ranges],
        "seen": seen.snapshot,
    }
    async with conn.cursor(name="missed_trades") as cursor:
        await cursor.execute(_MISSED, parameters)
        while rows := await cursor.fetchmany(CHUNK_ROWS):
            yield [read_stored(row) for row in rows]


def read_stored(row: Sequence[Any]) -> StoredTrade:
    """A trade from market id, tx, exchange, base, quote, trade id, ts, price, amount and taker side."""
    market_id, tx, exchange, base, quote, trade_id, ts, *rest = row
    market = _market(exchange, base, quote)
    return StoredTrade(market_id, tx, Trade(market, trade_id, from_datetime(ts), *rest))


@lru_cache(maxsize=10_000)
def _market(exchange: str, base: str, quote: str) -> Market:
    return Market(exchange, Symbol(base, quote))
