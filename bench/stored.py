"""A warehouse as it is after a year: candles of every length, a week of trades, all in their partitions.

What is there already is kept and completed up to this minute, so a folder can be used again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy import URL, Connection, text

from coinwatch.averaging.average import Candidate, average
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.averages.store import PairAverage, write_averages
from warehouse.db.connect import connect
from warehouse.db.migrate import upgrade
from warehouse.db.partitions import ensure_average_days, ensure_candle_months, ensure_tick_days
from warehouse.embedded.server import EmbeddedPostgres

EXCHANGES = ("binance", "bybit", "coinbase", "kraken", "okx")
TICK_DAYS = 7
LOADING = {"fsync": "off", "synchronous_commit": "off", "max_wal_size": "4GB", "work_mem": "64MB"}
"""Settings of the server while it is filled."""

# Markets of one symbol have one price.
_PRICE = (
    "100 * ((market_id + 4) / 5)"
    " * (1 + 0.2 * sin({m} / 61000.0) + 0.01 * sin({m} / 97.0) + 0.001 * sin({m} / 2.3))"
)

# In the order in which a backfill stores them: a day of one market after the other.
_CANDLES = text(f"""
insert into candles
    (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades)
select market_id, '1m', open_ts, open, greatest(open, close) * 1.0004, least(open, close) * 0.9997, close,
    volume, volume * close, 40
from (
    select market_id, to_timestamp(m * 60) as open_ts, {_PRICE.format(m="m")} as open,
        {_PRICE.format(m="(m + 1)")} as close, 2 + sin(m / 50.0) as volume
    from unnest(cast(:ids as int[])) as market_id cross join generate_series(:first, :last) as m
    order by market_id, m
) minutes""")  # noqa: S608 -- built from constants

_ROLLUPS = text("""
insert into candles
    (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
select market_id, :interval, date_bin(make_interval(secs => :length_s), open_ts, 'epoch') as bucket,
    (array_agg(open order by open_ts))[1], max(high), min(low), (array_agg(close order by open_ts desc))[1],
    sum(volume), sum(quote_volume), sum(trades), 'rollup'
from candles
where market_id = any(cast(:ids as int[])) and interval = :from and open_ts >= :day and open_ts < :day_end
group by market_id, bucket order by market_id, bucket""")

_OLD_ROLLUPS = text("""
delete from candles
where market_id = any(cast(:ids as int[])) and interval <> '1m' and open_ts >= :day and open_ts < :day_end""")

# As they were streamed: the markets by turns.
_TICKS = text(f"""
insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)
select market_id, ms, to_timestamp(ms / 1000.0), (to_timestamp(ms / 1000.0) at time zone 'UTC')::date,
    {_PRICE.format(m="(ms / 60000.0)")}, 0.1, ms % 2 = 0
from generate_series(cast(:first_ms as bigint), cast(:last_ms as bigint), cast(:step_ms as bigint)) as ms
cross join unnest(cast(:ids as int[])) as market_id
order by ms
on conflict do nothing""")  # noqa: S608 -- built from constants

TICKS_PER_MARKET_S = 5

_HEALTH = text("""
update stream_health set state = 'live', last_trade_ts = :at, last_received_at = :at, updated_at = now(),
    trades = trades + :count, last_price = 100 * ((market_id + 4) / 5)
where market_id = any(cast(:ids as int[]))""")


@contextmanager
def stored(folder: Path, names: Sequence[str], days: int, ticks: int) -> Iterator[tuple[URL, dict[str, int]]]:
    """A server in ``folder`` with ``days`` of candles and about ``ticks`` trades; the ids of the markets."""
    loading = EmbeddedPostgres(folder, LOADING)
    loading.start()
    try:
        ids = fill(loading.socket_url(), names, days, ticks)
    finally:
        loading.stop()
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield server.socket_url(), ids
    finally:
        server.stop()


@contextmanager
def trading(url: URL, ids: Mapping[str, int]) -> Iterator[None]:
    """Within, every market trades a few times a second, and averages are computed of them all."""
    engine = sqlalchemy.create_engine(url)
    done = threading.Event()

    async def trade() -> None:
        by_symbol: dict[Symbol, list[tuple[str, int]]] = {}
        for name, id_ in ids.items():
            exchange, _, symbol = name.partition(":")
            by_symbol.setdefault(Symbol.canonical(symbol), []).append((exchange, id_))
        async with await connect(url, application_name="bench") as conn:
            until_us = now_us()
            while not await asyncio.to_thread(done.wait, 1):
                since_us, until_us = until_us, now_us()
                span = {"first_ms": since_us // 1_000, "last_ms": until_us // 1_000 - 1}
                with engine.begin() as sync:
                    steps = {"ids": list(ids.values()), "step_ms": 1_000 // TICKS_PER_MARKET_S}
                    sync.execute(_TICKS, span | steps)
                    health = {"ids": list(ids.values()), "at": to_datetime(until_us)}
                    sync.execute(_HEALTH, health | {"count": TICKS_PER_MARKET_S})
                second_us = until_us // SECOND_US * SECOND_US
                pairs = [_average(symbol, members, until_us) for symbol, members in by_symbol.items()]
                await write_averages(conn, second_us, pairs)

    thread = threading.Thread(target=lambda: asyncio.run(trade()))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        engine.dispose()


def _average(symbol: Symbol, members: Sequence[tuple[str, int]], at_us: int) -> PairAverage:
    price = 100.0 * ((members[0][1] + 4) // 5) * (1 + at_us // SECOND_US % 7 / 1e4)
    judged = average(
        Candidate(
            name=exchange, price=price, ts_us=at_us, age_us=0, mean_interval_us=200_000, volume=1e6 + id_
        )
        for exchange, id_ in members
    )
    if judged.average is None:
        raise ValueError(f"no average of {symbol}")
    return PairAverage(
        symbol=symbol, ts_us=at_us, average=judged.average, change_24h=0.01, high_24h=price, low_24h=price
    )


def market_names(count: int) -> list[str]:
    """``exchange:SYMBOL``, each symbol on five exchanges."""
    every = len(EXCHANGES)
    return [f"{EXCHANGES[n % every]}:C{n // every:02}-USDT" for n in range(count)]


def fill(url: URL, names: Sequence[str], days: int, ticks: int) -> dict[str, int]:
    """Complete what is stored up to this minute; returns the ids of the markets."""
    upgrade(url)
    end_us = now_us() // MINUTE_US * MINUTE_US
    asyncio.run(_partitions(url, end_us, days))
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.begin() as conn:
            ids = _markets(conn, names)
            begin_us = end_us - days * DAY_US
            stored_us = _stored_until_us(conn, min(ids.values()), begin_us)
        for day_us in range(day_start_us(utc_day(stored_us)), end_us, DAY_US):
            if stored_us >= end_us:
                break
            with engine.begin() as conn:
                window = Window(max(day_us, stored_us), min(day_us + DAY_US, end_us))
                _store_day(conn, list(ids.values()), window)
                if ticks and day_us >= day_start_us(utc_day(end_us)) - TICK_DAYS * DAY_US:
                    _store_ticks(conn, list(ids.values()), window, ticks)
        with engine.begin() as conn:
            _mark_complete(conn, list(ids.values()), Window(begin_us, end_us))
        if end_us - stored_us > DAY_US:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.execute(text("vacuum (freeze, analyze)"))
    finally:
        engine.dispose()
    return ids


def _markets(conn: Connection, names: Sequence[str]) -> dict[str, int]:
    for name in names:
        exchange, _, symbol = name.partition(":")
        base, _, quote = symbol.partition("-")
        conn.execute(
            text("""insert into markets (exchange, symbol, base, quote, native)
                values (:exchange, :symbol, :base, :quote, :symbol) on conflict do nothing"""),
            {"exchange": exchange, "symbol": symbol, "base": base, "quote": quote},
        )
    known = {
        row.name: row.id
        for row in conn.execute(text("select id, exchange||':'||symbol as name from markets"))
    }
    return {name: known[name] for name in names}


def _stored_until_us(conn: Connection, market_id: int, begin_us: int) -> int:
    covered = text("""
        select (extract(epoch from upper(range_agg(tstzrange(open_ts, open_ts + interval '1 minute')))) * 1e6)
        from (select open_ts from candles where market_id = :id and interval = '1m'
              order by open_ts desc limit 1) newest""")
    until = conn.execute(covered, {"id": market_id}).scalar_one()
    return max(begin_us, int(until or 0))


def _store_day(conn: Connection, ids: Sequence[int], window: Window) -> None:
    """The candles of ``window``, which lies within a UTC day, and the rollups of that day."""
    minutes = {"first": window.start_us // MINUTE_US, "last": window.end_us // MINUTE_US - 1}
    conn.execute(_CANDLES, {"ids": list(ids)} | minutes)
    day_us = day_start_us(utc_day(window.start_us))
    day = {"ids": list(ids), "day": to_datetime(day_us), "day_end": to_datetime(day_us + DAY_US)}
    conn.execute(_OLD_ROLLUPS, day)
    finer = Interval.M1
    for interval in (Interval.M5, Interval.M15, Interval.H1, Interval.H4, Interval.D1):
        lengths = {"interval": interval.value, "from": finer.value, "length_s": interval.seconds}
        conn.execute(_ROLLUPS, day | lengths)
        finer = interval


def _store_ticks(conn: Connection, ids: Sequence[int], window: Window, ticks: int) -> None:
    step_ms = TICK_DAYS * DAY_US // 1_000 * len(ids) // ticks
    first_ms = -(-window.start_us // 1_000 // step_ms) * step_ms
    span = {"first_ms": first_ms, "last_ms": window.end_us // 1_000 - 1, "step_ms": step_ms}
    conn.execute(_TICKS, {"ids": list(ids)} | span)


def _mark_complete(conn: Connection, ids: Sequence[int], window: Window) -> None:
    """Mark ``window`` as covered and rolled up, and all markets as live."""
    asked = {"ids": list(ids), "since": to_datetime(window.start_us), "until": to_datetime(window.end_us)}
    conn.execute(
        text("""insert into candle_coverage (market_id, interval, covered, wanted)
            select id, '1m', tstzmultirange(tstzrange(:since, :until)),
                tstzmultirange(tstzrange(:since, null))
            from unnest(cast(:ids as int[])) as id
            on conflict (market_id, interval) do update set covered = excluded.covered"""),
        asked,
    )
    conn.execute(
        text("""insert into candle_rollups (market_id, interval, due)
            select id, interval, '{}' from unnest(cast(:ids as int[])) as id,
                unnest(array['5m', '15m', '1h', '4h', '1d']) as interval
            on conflict do nothing"""),
        asked,
    )
    conn.execute(
        text("""insert into stream_health (market_id, state)
            select id, 'live' from unnest(cast(:ids as int[])) as id on conflict do nothing"""),
        asked,
    )


async def _partitions(url: URL, end_us: int, days: int) -> None:
    async with await connect(url, application_name="bench") as conn:
        near = [utc_day(end_us + offset * DAY_US) for offset in range(-TICK_DAYS, 2)]
        await ensure_tick_days(conn, near)
        await ensure_average_days(conn, near)
        months = {utc_day(end_us - n * DAY_US).replace(day=1) for n in range(-1, days + 2)}
        await ensure_candle_months(conn, sorted(months))
