"""Stream gaps: interruptions of market streams, in the table ``stream_gaps``.

A gap is opened before any trade after the interruption is stored, gets its end with the first trade
received again, and is closed by recovery: ``filled``, or ``unfillable`` with the reason.
"""

# ruff: noqa: S608  # statements are built from constants of this project only

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from psycopg import AsyncConnection

from coinwatch.stream_gaps import GapCause, GapState
from coinwatch.times import from_datetime, to_datetime

OVERLAP_S = 10.0
"""Recovery of a market that was taken over starts this long before its last stored trade: frames arrive out
of order, so earlier trades may be missing."""


class Opening(msgspec.Struct, frozen=True):
    """A new gap. Without an end, no trade was received yet."""

    market_id: int
    cause: GapCause
    after_id: int | None
    after_ts_us: int
    before_id: int | None = None
    before_ts_us: int | None = None


class Ending(msgspec.Struct, frozen=True):
    """The first trade received again: ends every open gap of its market and daemon that has no end."""

    market_id: int
    before_id: int
    before_ts_us: int


class LedgerEntries(msgspec.Struct):
    """The gaps to open and to end in the transaction that stores a batch."""

    openings: list[Opening]
    endings: list[Ending]

    def __bool__(self) -> bool:
        return bool(self.openings or self.endings)


class Gap(msgspec.Struct, frozen=True):
    """An open gap."""

    id: int
    market_id: int
    cause: str
    after_id: int | None
    after_ts_us: int
    before_id: int | None
    before_ts_us: int | None


# A retry of a batch that was stored after all must not insert its gaps twice.
_OPEN = """
insert into stream_gaps (market_id, daemon, cause, after_id, after_ts, before_id, before_ts)
select market_id, %(daemon)s, cause, after_id, after_ts, before_id, before_ts
from unnest(%(markets)s::int[], %(causes)s::text[], %(after_ids)s::bigint[], %(after_ts)s::timestamptz[],
            %(before_ids)s::bigint[], %(before_ts)s::timestamptz[])
     as given (market_id, cause, after_id, after_ts, before_id, before_ts)
where not exists (
    select from stream_gaps known
    where known.market_id = given.market_id and known.after_ts = given.after_ts
      and known.daemon = %(daemon)s and known.cause = given.cause
      and known.after_id is not distinct from given.after_id
      and (given.before_id is null or known.before_id = given.before_id)
)
"""

_END = f"""
update stream_gaps set before_id = given.before_id, before_ts = given.before_ts
from unnest(%(markets)s::int[], %(before_ids)s::bigint[], %(before_ts)s::timestamptz[])
     as given (market_id, before_id, before_ts)
where stream_gaps.market_id = given.market_id and state = '{GapState.OPEN}' and daemon = %(daemon)s
  and stream_gaps.before_ts is null
"""


async def enter(conn: AsyncConnection, daemon: str, entries: LedgerEntries) -> None:
    """Write ``entries`` in the open transaction of ``conn``."""
    if entries.openings:
        rows = entries.openings
        await conn.execute(
            _OPEN,
            {
                "daemon": daemon,
                "markets": [row.market_id for row in rows],
                "causes": [row.cause for row in rows],
                "after_ids": [row.after_id for row in rows],
                "after_ts": [to_datetime(row.after_ts_us) for row in rows],
                "before_ids": [row.before_id for row in rows],
                "before_ts": [_moment(row.before_ts_us) for row in rows],
            },
        )
    if entries.endings:
        ends = entries.endings
        await conn.execute(
            _END,
            {
                "daemon": daemon,
                "markets": [end.market_id for end in ends],
                "before_ids": [end.before_id for end in ends],
                "before_ts": [to_datetime(end.before_ts_us) for end in ends],
            },
        )


# Gaps of dead daemons are inherited and, with the lease of a market, those of its earlier holders: only a
# standby daemon streams without a lease. Each market then has an open gap without an end: an inherited gap,
# or a new gap that starts at the last stored trade, or shortly before now for a market without trades.
_INHERIT = f"""
update stream_gaps set daemon = %(daemon)s
where state = '{GapState.OPEN}' and market_id = any(%(markets)s) and daemon <> %(daemon)s
  and not exists (
    select from service_heartbeats
    where service = 'ingest' and instance = stream_gaps.daemon
      and beat_at > clock_timestamp() - %(silent_s)s * interval '1 s'
      and (detail->>'mode' = 'standby' or not %(is_leased)s)
  )
"""

_BEGIN = f"""
insert into stream_gaps (market_id, daemon, cause, after_id, after_ts)
select wanted.market_id, %(daemon)s, %(cause)s,
       case when not unwatched then coalesce(earlier.trade_id, oldest.trade_id) end,
       coalesce(
           case when not unwatched then coalesce(earlier.ts, oldest.ts) end,
           now() - %(first_reach_s)s * interval '1 s'
       )
from unnest(%(markets)s::int[]) as wanted (market_id)
left join lateral (
    select ts from ticks where ticks.market_id = wanted.market_id order by ts desc limit 1
) latest on true
left join lateral (
    select trade_id, ts from ticks
    where ticks.market_id = wanted.market_id and ticks.ts <= latest.ts - %(overlap_s)s * interval '1 s'
      and ticks.day >= (latest.ts at time zone 'utc')::date - 2
    order by ts desc, trade_id desc limit 1
) earlier on true
left join lateral (
    select trade_id, ts from ticks
    where ticks.market_id = wanted.market_id and earlier.ts is null
    order by ts, trade_id limit 1
) oldest on true
cross join lateral (
    select exists (
        select from stream_gaps
        where stream_gaps.market_id = wanted.market_id and cause = '{GapCause.NOT_WANTED}'
          and before_ts is null
    )
) as left_alone (unwatched)
where not exists (
    select from stream_gaps
    where stream_gaps.market_id = wanted.market_id and state = '{GapState.OPEN}' and daemon = %(daemon)s
      and before_ts is null
)
"""


_END_UNWATCHED = f"""
update stream_gaps set before_ts = now() - %(first_reach_s)s * interval '1 s'
where market_id = any(%(markets)s) and cause = '{GapCause.NOT_WANTED}' and before_ts is null
"""

_LAST_KNOWN = f"""
select market_id, max(after_ts) from stream_gaps
where state = '{GapState.OPEN}' and daemon = %(daemon)s and market_id = any(%(markets)s)
  and before_ts is null and after_id is not null
group by market_id
"""


async def begin(
    conn: AsyncConnection,
    daemon: str,
    market_ids: Collection[int],
    *,
    cause: GapCause,
    first_reach_s: float,
    silent_s: float,
    is_leased: bool,
) -> dict[int, int]:
    """Open gaps for markets that ``daemon`` starts to stream, until their first trade.

    Returns the time (us, by the exchange's clock) of the last trade known of each market that has one.

    ``first_reach_s``: how far back the first start of a market reaches. ``silent_s``: a daemon without a
    heartbeat for longer is dead, and its open gaps are inherited. ``is_leased``: this daemon alone holds
    the leases of these markets.
    """
    parameters = {
        "daemon": daemon,
        "markets": sorted(market_ids),
        "cause": cause,
        "overlap_s": OVERLAP_S,
        "first_reach_s": first_reach_s,
        "silent_s": silent_s,
        "is_leased": is_leased,
    }
    async with conn.transaction():
        await conn.execute(_INHERIT, parameters)
        await conn.execute(_BEGIN, parameters)
        await conn.execute(_END_UNWATCHED, parameters)
        cursor = await conn.execute(_LAST_KNOWN, parameters)
        return {market_id: from_datetime(ts) for market_id, ts in await cursor.fetchall()}


async def inherit(
    conn: AsyncConnection,
    daemon: str,
    market_ids: Collection[int],
    *,
    silent_s: float,
    is_leased: bool,
) -> None:
    """Take over the open gaps that other daemons left for these markets; see ``begin``."""
    wanted = {"daemon": daemon, "markets": sorted(market_ids), "silent_s": silent_s, "is_leased": is_leased}
    await conn.execute(_INHERIT, wanted)


_UNWATCHED = f"""
insert into stream_gaps (market_id, daemon, cause, after_id, after_ts, state, reason, closed_at)
select wanted.market_id, %(daemon)s, '{GapCause.NOT_WANTED}', latest.trade_id, latest.ts,
       '{GapState.UNFILLABLE}', 'the market was not wanted', clock_timestamp()
from unnest(%(markets)s::int[]) as wanted (market_id)
cross join lateral (
    select trade_id, ts from ticks where ticks.market_id = wanted.market_id order by ts desc limit 1
) latest
"""


async def leave(conn: AsyncConnection, daemon: str, market_ids: Collection[int]) -> None:
    """Record that these markets are no longer wanted: later trades are not recovered."""
    await conn.execute(_UNWATCHED, {"daemon": daemon, "markets": sorted(market_ids)})


_OPEN_GAPS = f"""
select id, market_id, cause, after_id, after_ts, before_id, before_ts
from stream_gaps where state = '{GapState.OPEN}' and daemon = %s and market_id = any(%s)
order by after_ts
"""


async def open_gaps(conn: AsyncConnection, daemon: str, market_ids: Collection[int]) -> list[Gap]:
    """The gaps that wait for recovery, oldest first."""
    cursor = await conn.execute(_OPEN_GAPS, (daemon, list(market_ids)))
    return [
        Gap(gap_id, market_id, cause, after_id, from_datetime(after_ts), before_id, _us(before_ts))
        for gap_id, market_id, cause, after_id, after_ts, before_id, before_ts in await cursor.fetchall()
    ]


_FILL = f"""
update stream_gaps
set state = '{GapState.FILLED}', closed_at = clock_timestamp(), recovered = recovered + %s, reason = null,
    before_id = coalesce(before_id, %s), before_ts = coalesce(before_ts, %s)
where id = %s and state = '{GapState.OPEN}'
"""


async def fill(
    conn: AsyncConnection, gap: Gap, recovered: int, *, heard_id: int | None = None, heard_ts_us: int
) -> None:
    """Close a gap as filled. ``heard_…`` is its end where it has none."""
    await conn.execute(_FILL, (recovered, heard_id, to_datetime(heard_ts_us), gap.id))


_LAST_STORED = """
select trade_id, ts from ticks
where market_id = %s and ts > %s and ts < %s and day between %s and %s
order by ts desc, trade_id desc limit 1
"""


async def last_stored(conn: AsyncConnection, gap: Gap, before_ts_us: int) -> tuple[int | None, int]:
    """Id and time of the last stored trade of ``gap`` before ``before_ts_us``; its start where there is none.

    A gap may start well before the interruption, see ``OVERLAP_S``, and another daemon may have stored
    trades inside it.
    """
    start, end = to_datetime(gap.after_ts_us), to_datetime(before_ts_us)
    cursor = await conn.execute(_LAST_STORED, (gap.market_id, start, end, start.date(), end.date()))
    row = await cursor.fetchone()
    return (gap.after_id, gap.after_ts_us) if row is None else (row[0], from_datetime(row[1]))


_SPLIT = f"""
with whole as (
    update stream_gaps
    set state = '{GapState.UNFILLABLE}', closed_at = clock_timestamp(), reason = %(reason)s,
        after_id = %(after_id)s, after_ts = %(after_ts)s,
        before_id = %(before_id)s, before_ts = %(before_ts)s
    where id = %(id)s and state = '{GapState.OPEN}'
    returning market_id, daemon, cause, opened_at
)
insert into stream_gaps (market_id, daemon, cause, after_id, after_ts, before_id, before_ts,
                         state, recovered, opened_at, closed_at)
select market_id, daemon, cause, %(before_id)s, %(before_ts)s, %(end_id)s, %(end_ts)s,
       '{GapState.FILLED}', %(recovered)s, opened_at, clock_timestamp()
from whole where %(before_ts)s < %(end_ts)s
"""


async def give_up(
    conn: AsyncConnection,
    gap: Gap,
    *,
    recovered: int,
    reason: str,
    after_id: int | None,
    after_ts_us: int,
    before_id: int | None,
    before_ts_us: int,
    end_id: int | None,
    end_ts_us: int,
) -> None:
    """Close a gap as unfillable from ``after_…`` to ``before_…``, and as filled from there to ``end_…``."""
    await conn.execute(
        _SPLIT,
        {
            "id": gap.id,
            "reason": reason,
            "recovered": recovered,
            "after_id": after_id,
            "after_ts": to_datetime(after_ts_us),
            "before_id": before_id,
            "before_ts": to_datetime(before_ts_us),
            "end_id": end_id,
            "end_ts": to_datetime(end_ts_us),
        },
    )


async def note_failure(conn: AsyncConnection, gap: Gap, reason: str) -> None:
    """Record why the last attempt failed. The gap stays open."""
    await conn.execute("update stream_gaps set reason = %s where id = %s", (reason, gap.id))


def _moment(ts_us: int | None) -> datetime | None:
    return None if ts_us is None else to_datetime(ts_us)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else from_datetime(moment)
