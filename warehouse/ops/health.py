"""The state of streams and services: written every second, read by ``status`` and pages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb

from coinwatch.errors import WarehouseReadOnly
from coinwatch.records import Market
from coinwatch.times import to_datetime
from warehouse.db.errors import warehouse_errors
from warehouse.tables import markets, service_heartbeats, stream_health


class StreamState(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    DOWN = "down"
    STOPPED = "stopped"


class StreamHealth(msgspec.Struct, kw_only=True):
    """The state of a market's stream in a daemon."""

    state: StreamState
    last_price: float | None = None
    last_trade_ts_us: int | None = None
    """The exchange's clock."""
    last_received_us: int | None = None
    """Our clock."""
    lag_ms: float | None = None
    """From the exchange's clock to our commit, for the newest trade."""
    trades: int = 0
    """Stored by this daemon since it started."""
    duplicates: int = 0
    recovered: int = 0
    reconnects: int = 0
    last_error: str | None = None
    last_error_us: int | None = None


class StreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of stream_health as read. ``age_s`` is how long ago the daemon wrote it."""

    market: Market
    state: StreamState
    last_price: float | None
    last_trade_ts: datetime | None
    last_received_at: datetime | None
    lag_ms: float | None
    trades: int
    duplicates: int
    recovered: int
    reconnects: int
    last_error: str | None
    last_error_at: datetime | None
    age_s: float


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of service_heartbeats as read. ``age_s`` is how long ago it beat."""

    service: str
    instance: str
    started_at: datetime
    age_s: float
    detail: dict[str, Any]


_WRITE_STREAMS = """
insert into stream_health (market_id, state, last_price, last_trade_ts, last_received_at, lag_ms,
                           trades, duplicates, recovered, reconnects, last_error, last_error_at, daemon)
select *, %s from unnest(
    %s::int[], %s::text[], %s::float8[], %s::timestamptz[], %s::timestamptz[], %s::float8[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::timestamptz[]
)
on conflict (market_id) do update set
    state = excluded.state,
    last_price = coalesce(excluded.last_price, stream_health.last_price),
    last_trade_ts = coalesce(excluded.last_trade_ts, stream_health.last_trade_ts),
    last_received_at = coalesce(excluded.last_received_at, stream_health.last_received_at),
    lag_ms = coalesce(excluded.lag_ms, stream_health.lag_ms),
    trades = excluded.trades,
    duplicates = excluded.duplicates,
    recovered = excluded.recovered,
    daemon = excluded.daemon,
    reconnects = excluded.reconnects,
    last_error = coalesce(excluded.last_error, stream_health.last_error),
    last_error_at = coalesce(excluded.last_error_at, stream_health.last_error_at),
    updated_at = now()
where stream_health.daemon = excluded.daemon or excluded.state = 'live' or stream_health.state <> 'live'
   or stream_health.updated_at < now() - interval '3 s'
"""

_BEAT = """
insert into service_heartbeats (service, instance, started_at, beat_at, detail)
values (%s, %s, %s, now(), %s)
on conflict (service, instance) do update set
    started_at = excluded.started_at, beat_at = excluded.beat_at, detail = excluded.detail
"""


async def write_streams(conn: AsyncConnection, streams: Mapping[int, StreamHealth], daemon: str = "") -> None:
    """Write the state of every market that ``daemon`` streams, by market id, in one statement.

    None keeps the stored value, so the last known price survives a restart. A market that another daemon
    reports as live is not overwritten.
    """
    rows = [
        (
            market_id,
            health.state.value,
            health.last_price,
            _moment(health.last_trade_ts_us),
            _moment(health.last_received_us),
            health.lag_ms,
            health.trades,
            health.duplicates,
            health.recovered,
            health.reconnects,
            health.last_error,
            _moment(health.last_error_us),
        )
        for market_id, health in sorted(streams.items())
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await conn.execute(_WRITE_STREAMS, [daemon, *columns])


async def beat(
    conn: AsyncConnection, service: str, instance: str, started_at: datetime, detail: Mapping[str, Any]
) -> None:
    """Write a heartbeat of ``service``.

    ``instance`` is host and process; ``detail`` becomes a JSON object and may contain structs.
    """
    fields = msgspec.to_builtins(dict(detail))
    await conn.execute(_BEAT, (service, instance, started_at, Jsonb(fields)))


# The rows are more than fit into memory, so Postgres writes a file to the disk of its tables and deletes it:
# no table, no lock and no write-ahead log are involved.
_USE_SPACE = "select count(*) from generate_series(1, 20000)"

_IS_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool"


async def check_space(conn: AsyncConnection) -> None:
    """Check that Postgres can write files and accepts changes. Takes a few milliseconds.

    Raises:
        WarehouseFull: The disk is full.
        WarehouseReadOnly: The server is a standby, or sessions are read-only by default.
    """
    # A limit on temporary files (temp_file_limit) is no full disk.
    with warehouse_errors(), suppress(errors.ConfigurationLimitExceeded):
        async with conn.transaction():
            await conn.execute("set local work_mem = '64kB'")
            await conn.execute(_USE_SPACE)
    with warehouse_errors():
        row = await (await conn.execute(_IS_READ_ONLY)).fetchone()
    if row is None or row[0]:
        reason = "cannot execute a change in a read-only transaction"
        raise WarehouseReadOnly(f"Postgres accepts no writes: {reason}", reason=reason)


_PEERS = """
select count(*) from service_heartbeats
where service = %s and detail->>'mode' = 'shared' and detail->>'wants' = %s
  and beat_at > clock_timestamp() - %s * interval '1 s'
"""


async def peers(conn: AsyncConnection, service: str, wants: str, within_s: float) -> int:
    """The number of processes of ``service`` with the same ``wants`` and a heartbeat within ``within_s``."""
    cursor = await conn.execute(_PEERS, (service, wants, within_s))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def read_streams(conn: sa.Connection) -> list[StreamRow]:
    """Every market that was ever streamed, by name."""
    query = (
        sa.select(
            markets.c.exchange,
            markets.c.symbol,
            *(c for c in stream_health.c if c.name not in ("market_id", "updated_at", "daemon")),
            _age_s(stream_health.c.updated_at),
        )
        .join_from(stream_health, markets)
        .order_by(markets.c.exchange, markets.c.symbol)
    )
    return [
        StreamRow(
            market=Market.canonical(f"{row.exchange}:{row.symbol}"),
            state=StreamState(row.state),
            last_price=row.last_price,
            last_trade_ts=row.last_trade_ts,
            last_received_at=row.last_received_at,
            lag_ms=row.lag_ms,
            trades=row.trades,
            duplicates=row.duplicates,
            recovered=row.recovered,
            reconnects=row.reconnects,
            last_error=row.last_error,
            last_error_at=row.last_error_at,
            age_s=row.age_s,
        )
        for row in conn.execute(query)
    ]


def read_services(conn: sa.Connection, within_s: float = 3_600) -> list[ServiceRow]:
    """Every service that beat in the last ``within_s`` seconds, by name, the freshest first."""
    age_s = _age_s(service_heartbeats.c.beat_at)
    query = (
        sa.select(
            service_heartbeats.c.service,
            service_heartbeats.c.instance,
            service_heartbeats.c.started_at,
            service_heartbeats.c.detail,
            age_s,
        )
        .where(age_s < within_s)
        .order_by(service_heartbeats.c.service, age_s)
    )
    return [ServiceRow(**row._mapping) for row in conn.execute(query)]


def _age_s(moment: sa.Column[datetime]) -> sa.Label[float]:
    return sa.cast(sa.extract("epoch", sa.func.now() - moment), sa.Double).label("age_s")


def _moment(ts_us: int | None) -> datetime | None:
    return None if ts_us is None else to_datetime(ts_us)
