"""The dashboard with much stored and many looking: python -m bench.dashboard

Fills a Postgres of its own with ``--markets`` times ``--days`` of 1m candles and their rollups, lets every
market trade, starts Streamlit as ``coinwatch up`` does, and drives real sessions over its websocket: the
chart from a cold page, a change of interval, Overview alone, and ``--viewers`` of it at once, each part of
each page run again as often as it asks to be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy import URL, text

from bench.ingest import _free_port
from bench.viewer import Viewer, viewer
from coinwatch.intervals import Interval
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, to_datetime, utc_day
from sources.exchanges import EXCHANGES
from warehouse.connect import connect
from warehouse.migrate import upgrade
from warehouse.partitions import ensure_average_days, ensure_candle_months, ensure_tick_days
from warehouse.server import EmbeddedPostgres

PROJECT = Path(__file__).resolve().parents[1]
TRIES = 5
TICKS_PER_MARKET_S = 5
CHARTS = ("1d", "1mo", "1y")

_CANDLES = text("""
insert into candles (market_id, interval, open_ts, open, high, low, close, volume)
select :id, '1m', ts, price, price * 1.0008, price * 0.9993, price * 1.0002, 1.5
from (
    select ts, 50000 * (1 + 0.1 * sin(n / 9000.0) + 0.01 * sin(n / 70.0)) as price
    from generate_series(cast(:since as timestamptz), cast(:until as timestamptz) - interval '1 minute',
        interval '1 minute') with ordinality as minutes(ts, n)
) wave""")

_ROLLUPS = text("""
insert into candles (market_id, interval, open_ts, open, high, low, close, volume, source)
select market_id, :interval, date_bin(make_interval(secs => :length_s), open_ts, 'epoch') as bucket,
    (array_agg(open order by open_ts))[1], max(high), min(low), (array_agg(close order by open_ts desc))[1],
    sum(volume), 'rollup'
from candles where market_id = :id and interval = :from and open_ts >= :since
group by market_id, bucket""")

_TRADES = text("""
insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)
select id, :first + n, cast(:now as timestamptz) + make_interval(secs => n * 1e-3), :day,
    50000 * (1 + 0.001 * random()), 0.1, n % 2 = 0
from unnest(cast(:ids as int[])) as id cross join generate_series(1, :count) as n
on conflict do nothing""")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            url = server.socket_url()
            upgrade(url)
            names = market_names(asked.markets)
            began = time.perf_counter()
            ids = fill(url, names, asked.days)
            rows = asked.markets * asked.days * 1_440
            print(f"stored: {rows:,} candles of 1m in {time.perf_counter() - began:.0f} s, and their rollups")
            with trading(url, ids), dashboard(url, names) as port:
                asyncio.run(measure(port, names, asked.viewers, asked.seconds))
        finally:
            server.stop()


def market_names(count: int) -> list[str]:
    """``exchange:SYMBOL``, spread over the exchanges."""
    exchanges = list(EXCHANGES)
    return [f"{exchanges[n % len(exchanges)]}:C{n // len(exchanges):02}-USDT" for n in range(count)]


def fill(url: URL, names: Sequence[str], days: int) -> dict[str, int]:
    """Markets with ``days`` of candles up to this minute, verified and rolled up; returns their ids."""
    end_us = now_us() // MINUTE_US * MINUTE_US
    since, until = to_datetime(end_us - days * DAY_US), to_datetime(end_us)
    asyncio.run(_partitions(url, end_us, days))
    engine = sqlalchemy.create_engine(url)
    ids = {}
    for name in names:
        exchange, _, symbol = name.partition(":")
        base, _, quote = symbol.partition("-")
        with engine.begin() as conn:
            id_ = conn.execute(
                text("""insert into markets (exchange, symbol, base, quote, native)
                    values (:exchange, :symbol, :base, :quote, :symbol) returning id"""),
                {"exchange": exchange, "symbol": symbol, "base": base, "quote": quote},
            ).scalar_one()
            window = {"id": id_, "since": since, "until": until}
            conn.execute(_CANDLES, window)
            finer = Interval.M1
            for interval in (Interval.M5, Interval.M15, Interval.H1, Interval.H4, Interval.D1):
                conn.execute(
                    _ROLLUPS,
                    window | {"interval": interval.value, "from": finer.value, "length_s": interval.seconds},
                )
                conn.execute(
                    text(
                        "insert into candle_rollups (market_id, interval, due) values (:id, :interval, '{}')"
                    ),
                    {"id": id_, "interval": interval.value},
                )
                finer = interval
            conn.execute(
                text("""insert into candle_coverage (market_id, interval, covered, wanted)
                    values (:id, '1m', tstzmultirange(tstzrange(:since, :until)),
                        tstzmultirange(tstzrange(:since, null)))"""),
                window,
            )
            conn.execute(
                text("insert into stream_health (market_id, state) values (:id, 'live')"), {"id": id_}
            )
        ids[name] = id_
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("analyze"))
    engine.dispose()
    return ids


async def _partitions(url: URL, end_us: int, days: int) -> None:
    async with await connect(url, application_name="bench") as conn:
        near = [utc_day(end_us + offset * DAY_US) for offset in (-1, 0, 1)]
        await ensure_tick_days(conn, near)
        await ensure_average_days(conn, near)
        months = {utc_day(end_us - n * DAY_US).replace(day=1) for n in range(days + 2)}
        await ensure_candle_months(conn, sorted(months))


@contextmanager
def trading(url: URL, ids: dict[str, int]) -> Iterator[None]:
    """Within, every market trades a few times a second."""
    engine = sqlalchemy.create_engine(url)
    done = threading.Event()

    def trade() -> None:
        first = 0
        while not done.wait(1):
            at_us = now_us()
            with engine.begin() as conn:
                conn.execute(
                    _TRADES,
                    {
                        "ids": list(ids.values()),
                        "first": first,
                        "now": to_datetime(at_us - SECOND_US),
                        "day": utc_day(at_us - SECOND_US),
                        "count": TICKS_PER_MARKET_S,
                    },
                )
            first += TICKS_PER_MARKET_S

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        engine.dispose()


@contextmanager
def dashboard(url: URL, names: Sequence[str]) -> Iterator[int]:
    """The port of a Streamlit of its own process."""
    port = _free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COINWATCH_")} | {
        "COINWATCH_DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
        "COINWATCH_MARKETS": ",".join(names),
    }
    command = [sys.executable, "-m", "streamlit", "run", "app/dashboard/main.py"]
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1", "--server.port", str(port)],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(15)


async def measure(port: int, names: Sequence[str], viewers: int, seconds: int) -> None:
    """Print every figure."""
    exchange, _, symbol = names[0].partition(":")
    asked = f"symbol={symbol}&exchange={exchange}"
    async with viewer(port) as one:
        show("the first page of the process", [await one.open("overview")])
    for length in CHARTS:
        cold = []
        for number in range(TRIES):
            exchange, _, symbol = names[number % len(names)].partition(":")
            async with viewer(port) as one:
                cold.append(await one.open("chart", f"symbol={symbol}&exchange={exchange}&range={length}"))
        show(f"chart of {length}, from a cold page", cold)
    async with viewer(port) as one:
        await one.open("chart", f"{asked}&range=1d")
        changes = [
            await one.open("chart", f"{asked}&range=1w&interval={interval}")
            for interval in ("5m", "15m", "1h", "4h", "1d")
        ]
        show("chart, change of interval", changes)
    async with viewer(port) as one:
        await one.open("overview")
        often = min(one.fragments, key=lambda fragment: one.fragments[fragment])
        show("Overview, one rerun of its cards", [await one.tick(often) for _ in range(20)])
    await _crowd(port, viewers, seconds)


async def _crowd(port: int, viewers: int, seconds: int) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(viewer(port)) for _ in range(viewers)]
        await asyncio.gather(*(one.open("overview") for one in crowd))
        results = await asyncio.gather(*(_look(one, seconds) for one in crowd))
    took = [second for reruns, _ in results for second in reruns]
    skipped = sum(late for _, late in results)
    show(f"Overview, {viewers} viewers", took)
    print(f"    {len(took) / seconds:.0f} reruns/s, {skipped} of {len(took) + skipped} skipped")


async def _look(one: Viewer, seconds: int) -> tuple[list[float], int]:
    """Run every part of the page as often as it asks; how long each run took, and how many came too late."""
    end = time.monotonic() + seconds
    due = {fragment: time.monotonic() + every for fragment, every in one.fragments.items()}
    took, skipped = [], 0
    while (now := time.monotonic()) < end:
        fragment = min(due, key=lambda name: due[name])
        await asyncio.sleep(max(0.0, due[fragment] - now))
        took.append(await one.tick(fragment))
        every = one.fragments[fragment]
        due[fragment] += every
        while due[fragment] < time.monotonic() - every:
            due[fragment] += every
            skipped += 1
    return took, skipped


def show(what: str, seconds: Sequence[float]) -> None:
    """One line: the median, and the slowest twentieth."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{what:<44} p50 {statistics.median(ordered) * 1e3:6.0f} ms   p95 {p95 * 1e3:6.0f} ms", flush=True)


if __name__ == "__main__":
    main()
