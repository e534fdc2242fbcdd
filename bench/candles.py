"""Finding gaps and storing candles: python -m bench.candles

Gaps by range subtraction beside an anti-join over generate_series, candles by COPY and upsert beside
``executemany`` and ``pandas.to_sql``, all in the same run on an embedded Postgres as shipped.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import pandas as pd
import psycopg
import sqlalchemy

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Symbol
from coinwatch.times import DAY_US, MINUTE_US, to_datetime
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from warehouse.candles.coverage import gaps, multirange
from warehouse.candles.rows import CandleRows
from warehouse.candles.store import Stored, store, store_rows
from warehouse.db.connect import connect
from warehouse.db.migrate import upgrade
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.markets import ensure_markets

MARKETS = 500
DAYS = 365
GAPS_A_MARKET = 122
SMALL_MARKETS, SMALL_DAYS = 5, 30
"""What an anti-join over every slot finishes in seconds."""
CANDLES = 200_000
ROWS_BY_PANDAS = 50_000
TURNS = 4
ROUNDS = 5

START_US = 20_000 * DAY_US
Conn = psycopg.AsyncConnection[Any]


def main() -> None:
    """Run all parts and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            upgrade(server.socket_url())
            asyncio.run(_run(server.socket_url()))
        finally:
            server.stop()


async def _run(url: sqlalchemy.URL) -> None:
    async with await connect(url, application_name="bench") as conn:
        await _find_gaps(conn)
        await _store_candles(conn, url)


async def _find_gaps(conn: Conn) -> None:
    chance = random.Random(0)
    year = Window(START_US, START_US + DAYS * DAY_US)
    markets = [Market("binance", Symbol(f"A{number}", "USDT")) for number in range(MARKETS)]
    ids = await ensure_markets(conn, {market: str(market.symbol) for market in markets})
    slots = range(year.start_us // MINUTE_US, year.end_us // MINUTE_US, 2)
    for market_id in ids.values():
        holes = [
            Window(minute * MINUTE_US, (minute + 1) * MINUTE_US)
            for minute in chance.sample(slots, GAPS_A_MARKET)
        ]
        await conn.execute(
            "insert into candle_coverage (market_id, interval, wanted, covered)"
            " values (%(id)s, '1m', %(year)s, %(year)s::tstzmultirange - %(holes)s::tstzmultirange)",
            {"id": market_id, "year": multirange([year]), "holes": multirange(holes)},
        )
    await conn.execute("analyze candle_coverage, markets")
    count = sum(map(len, (await gaps(conn)).values()))
    whole_s = await _median_s(lambda: gaps(conn))
    in_sql_s = await _median_s(lambda: conn.execute("select count(*) from v_gaps"))
    print(
        f"gaps over {MARKETS} markets x {DAYS} days of 1m ({MARKETS * DAYS * 1_440:,} slots): {count:,} found"
        f" in {whole_s * 1000:.1f} ms, read into Python; counted in SQL by v_gaps in {in_sql_s * 1000:.1f} ms"
    )

    month = Window(START_US, START_US + SMALL_DAYS * DAY_US)
    small = sorted(ids.values())[:SMALL_MARKETS]
    for market_id in small:
        rows = _candles(SMALL_DAYS * 1_440)
        await store(conn, market_id, Interval.M1, rows, [])
    await conn.execute("delete from candles where extract(minute from open_ts) = 7")
    await conn.execute("analyze candles")
    anti_join_s = await _median_s(
        lambda: conn.execute(_ANTI_JOIN, {**_span(month), "markets": small}), rounds=1
    )
    slots_small = SMALL_MARKETS * SMALL_DAYS * 1_440
    print(
        f"an anti-join over generate_series, {SMALL_MARKETS} markets x {SMALL_DAYS} days"
        f" ({slots_small:,} slots): {anti_join_s * 1000:,.0f} ms; a slot takes"
        f" {anti_join_s / slots_small / (whole_s / (MARKETS * DAYS * 1_440)):,.0f} times as long"
    )


_ANTI_JOIN = """
select count(*)
from unnest(%(markets)s) as market_id
cross join generate_series(%(start)s, %(end)s - interval '1 minute', interval '1 minute') as slot
where not exists (
    select from candles c
    where c.market_id = market_id and c.interval = '1m' and c.open_ts = slot
)
"""


async def _store_candles(conn: Conn, url: sqlalchemy.URL) -> None:
    """In turns, so that both meet the same load of the machine."""
    market, by_row = Market("binance", Symbol("A0", "USDT")), Market("binance", Symbol("A1", "USDT"))
    ids = await ensure_markets(conn, {market: "A0USDT", by_row: "A1USDT"})
    candles = _candles(CANDLES, START_US + 100 * DAY_US)
    pages = [_klines(candles[first : first + 1_000]) for first in range(0, CANDLES, 1_000)]
    rows = [(to_datetime(candle.open_ts_us), *_numbers(candle)) for candle in candles]
    same = [
        (ids[by_row], *row, candle.quote_volume, candle.trades)
        for row, candle in zip(rows, candles, strict=True)
    ]
    await conn.execute(_PLAIN_TABLE)
    ours_s = same_s = plain_s = 0.0
    for turn in range(TURNS):
        ours_s += await _timed_s(_store_pages(conn, market, ids[market], pages[turn::TURNS]))
        same_s += await _timed_s(_execute_many(conn, _UPSERT, same[turn::TURNS]))
        plain_s += await _timed_s(_execute_many(conn, _UPSERT_PLAIN, rows[turn::TURNS]))
    again_s = await _timed_s(_store_pages(conn, market, ids[market], pages))
    cursor = await conn.execute("select count(*) from candles where market_id = %s", (ids[market],))
    row = await cursor.fetchone()
    counted = row[0] if row else 0
    print(
        f"decoded and upserted with coverage, 1,000 an answer: {CANDLES / ours_s:,.0f} candles/s,"
        f" {counted:,} rows counted; all of them again, unchanged: {CANDLES / again_s:,.0f} candles/s"
    )
    print(
        f"executemany of the same upsert, without coverage: {CANDLES / same_s:,.0f} candles/s,"
        f" {same_s / ours_s:.1f} times slower; into a plain table of 6 columns:"
        f" {CANDLES / plain_s:,.0f} candles/s, {plain_s / ours_s:.1f} times slower"
    )

    few = rows[:ROWS_BY_PANDAS]
    engine = sqlalchemy.create_engine(url)
    frame = pd.DataFrame(few, columns=["open_ts", "open", "high", "low", "close", "volume"])
    started_s = time.perf_counter()
    frame.to_sql("by_pandas", engine, index=False, chunksize=1_000, method="multi")
    by_pandas = len(few) / (time.perf_counter() - started_s)
    engine.dispose()
    print(
        f"pandas.to_sql, inserts only: {by_pandas:,.0f} candles/s,"
        f" {CANDLES / ours_s / by_pandas:.1f} times slower"
    )


async def _store_pages(conn: Conn, market: Market, market_id: int, pages: Sequence[bytes]) -> None:
    """As collection does: an answer is decoded and encoded while Postgres stores the one before."""
    storing: asyncio.Task[Stored] | None = None
    for page in pages:
        decoded = EXCHANGES["binance"].decode_candles(market, Interval.M1, page)
        rows = CandleRows.of(decoded)
        window = Window(decoded[0].open_ts_us, decoded[-1].open_ts_us + MINUTE_US)
        if storing:
            await storing
        storing = asyncio.create_task(store_rows(conn, market_id, Interval.M1, rows, [window]))
        await asyncio.sleep(0)  # so that it is sent before the next answer is decoded
    if storing:
        await storing


async def _execute_many(conn: Conn, upsert: LiteralString, rows: Sequence[tuple[object, ...]]) -> None:
    async with conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany(upsert, rows)


async def _timed_s(work: Awaitable[None]) -> float:
    started_s = time.perf_counter()
    await work
    return time.perf_counter() - started_s


_PLAIN_TABLE = """
create table plain (open_ts timestamptz primary key, open double precision, high double precision,
                    low double precision, close double precision, volume double precision)
"""

_UPSERT_PLAIN = """
insert into plain values (%s, %s, %s, %s, %s, %s)
on conflict (open_ts) do update set open = excluded.open, high = excluded.high, low = excluded.low,
    close = excluded.close, volume = excluded.volume
"""

_UPSERT = """
insert into candles as old
    (market_id, interval, open_ts, open, high, low, close, volume, quote_volume, trades, source)
values (%s, '1m', %s, %s, %s, %s, %s, %s, %s, %s, 'exchange')
on conflict (market_id, interval, open_ts) do update set open = excluded.open, high = excluded.high,
    low = excluded.low, close = excluded.close, volume = excluded.volume,
    quote_volume = excluded.quote_volume, trades = excluded.trades, revision = old.revision + 1,
    updated_at = now()
where (old.open, old.high, old.low, old.close, old.volume, old.quote_volume, old.trades)
    is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
                      excluded.quote_volume, excluded.trades)
"""


def _candles(count: int, start_us: int = START_US) -> list[Candle]:
    market = Market("binance", Symbol("A0", "USDT"))
    chance = random.Random(1)
    return [
        Candle(
            market=market,
            interval=Interval.M1,
            open_ts_us=start_us + number * MINUTE_US,
            open=100.25,
            high=101.5,
            low=99.75,
            close=100.5,
            volume=chance.randrange(1, 10**6) / 1_000,
            quote_volume=123.5,
            trades=7,
        )
        for number in range(count)
    ]


def _numbers(candle: Candle) -> tuple[float, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def _klines(candles: list[Candle]) -> bytes:
    """An answer of Binance."""
    return msgspec.json.encode(
        [
            [
                candle.open_ts_us // 1_000,
                *map(str, (candle.open, candle.high, candle.low, candle.close, candle.volume)),
                candle.open_ts_us // 1_000 + 59_999,
                str(candle.quote_volume),
                candle.trades,
                "0",
                "0",
                "0",
            ]
            for candle in candles
        ]
    )


def _span(window: Window) -> dict[str, Any]:
    return {"start": to_datetime(window.start_us), "end": to_datetime(window.end_us)}


async def _median_s(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    taken: list[float] = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - started_s)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
