"""From socket to committed row: python -m bench.ingest

Beside it, in the same run, a bare ``websockets`` receive loop fed the same frames by the same
separate process. Embedded Postgres in a temporary folder as shipped: fsync and synchronous_commit
on, every key and index, NOTIFY and health on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
import uvloop
from websockets.asyncio.client import connect

from coinwatch import logs
from coinwatch.settings import Settings
from coinwatch.times import now_us
from ingest_daemon import commit, daemon
from warehouse.connect import conninfo
from warehouse.migrate import upgrade
from warehouse.server import EmbeddedPostgres
from warehouse.tick_rows import TickRows
from warehouse.ticks import TickWriter, Written

BLAST_FRAMES = 200_000
BURST = 600_000
SUSTAINED_S = 10
PACE = 2_000
PACED_S = 8
CHECK_EVERY_S = 0.05


def main() -> None:
    """Run all parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=BURST, help="trades in the burst")
    parser.add_argument("--daemon", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.daemon:
        ready, url, database = arguments.daemon
        print(json.dumps(measure_daemon(json.loads(ready), url, database)))
        return
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            run(server, arguments.burst)
        finally:
            server.stop()


def run(server: EmbeddedPostgres, burst: int) -> None:
    url = server.socket_url()
    upgrade(url)
    print(f"{os.cpu_count()} cores; Postgres: {_durability(url)}")

    with blast(burst) as ready:
        bare = max(uvloop.run(bare_loop(ready)) for _ in range(2))
        print(f"bare websockets loop   {bare:>9,.0f} frames/s")
        rate = _show_rate("burst", run_daemon(ready, url), bare)
    with blast(round(rate * SUSTAINED_S)) as ready:
        result = run_daemon(ready, url)
        _show_rate(f"held for {result['seconds']:.1f} s", result, bare)
    with sender("bench.paced", str(PACE * PACED_S), str(PACE)) as ready:
        result = run_daemon(ready, url)
        print(
            f"latency at {PACE:,}/s     p50 {result['p50_ms']:.2f} ms   p99 {result['p99_ms']:.2f} ms   "
            f"from send to commit acknowledgement; {_counted(result)}"
        )


def _show_rate(what: str, result: dict[str, Any], bare: float) -> float:
    rate = float(result["stored"] / result["seconds"])
    print(f"{what:<22} {rate:>9,.0f} trades/s   ratio {rate / bare:.2f}   {_counted(result)}")
    return rate


def _counted(result: dict[str, Any]) -> str:
    rows, commits = result["stored"], result["commits"]
    return f"{rows:,} rows counted, {commits:,} commits, peak RSS {result['rss_mb']:.0f} MB"


def blast(trades: int) -> AbstractContextManager[dict[str, Any]]:
    """A sender of at least ``trades`` trades, as fast as they are read."""
    repeat = -(-trades // BLAST_FRAMES)
    return sender("simulator.blast", "--frames", str(BLAST_FRAMES), "--repeat", str(repeat))


@contextmanager
def sender(module: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """A process that sends frames; what it says first: where to connect and how many will come."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


async def bare_loop(ready: dict[str, Any]) -> float:
    """Frames a second of ``async for`` over a websocket, doing nothing with them."""
    left = ready["trades"]
    async with connect(ready["ws_url"] + "/stream", max_size=None, compression=None) as websocket:
        await websocket.send('{"method":"SUBSCRIBE","params":[],"id":1}')
        await websocket.recv()
        started = time.perf_counter()
        async for _ in websocket:
            left -= 1
            if not left:
                break
        return float(ready["trades"] / (time.perf_counter() - started))


def run_daemon(ready: dict[str, Any], url: sqlalchemy.URL) -> dict[str, Any]:
    """Let a daemon in a process of its own store all that is sent; count the rows afterwards."""
    with psycopg.connect(conninfo(url)) as connection:
        connection.execute("truncate ticks")
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    finished = subprocess.run(
        [sys.executable, "-m", "bench.ingest", "--daemon", json.dumps(ready), address, url.database or ""],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(finished.stdout)
    result["stored"] = _count(url)
    return result


def measure_daemon(ready: dict[str, Any], address: str, database: str) -> dict[str, Any]:
    """Run the daemon in this process until it has stored everything; what was measured."""
    logs.configure("ingest", level="warning")
    settings = Settings(
        _env_file=None,
        database_url=address,
        markets=",".join(ready["markets"]),
        binance_ws_url=ready["ws_url"],
        binance_rest_url="http://127.0.0.1:9",
        data_dir=tempfile.mkdtemp(prefix="coinwatch-bench-"),
        ingest_port=_free_port(),
    )
    commits: list[tuple[int, int, int]] = []
    """Trades, when the first was sent, when the commit was acknowledged."""
    latencies_us: list[int] = []
    paced = ready["trades"] <= PACE * PACED_S

    class TimedWriter(TickWriter):
        async def write_rows(self, sent: TickRows, *arguments: Any, **named: Any) -> Written:
            written = await super().write_rows(sent, *arguments, **named)
            acknowledged_us = now_us()
            if len(sent):
                commits.append((written.inserted, int(sent.ts_us.min()), acknowledged_us))
            if paced:
                latencies_us.extend((acknowledged_us - sent.ts_us).tolist())
            return written

    commit.TickWriter = TimedWriter  # type: ignore[attr-defined]  # reads the clock at the right moment
    url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")

    async def until_all_is_stored() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(daemon.run(settings, url, stop=stop))
        while sum(stored for stored, _, _ in commits) < ready["trades"] and not running.done():  # noqa: ASYNC110
            await asyncio.sleep(CHECK_EVERY_S)
        stop.set()
        await running

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_all_is_stored())
    latencies_us.sort()
    return {
        "seconds": (commits[-1][2] - commits[0][1]) / 1e6,
        "commits": len(commits),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **{
            f"p{share}_ms": latencies_us[len(latencies_us) * share // 100] / 1e3
            for share in (50, 99)
            if latencies_us
        },
    }


def _durability(url: sqlalchemy.URL) -> str:
    with psycopg.connect(conninfo(url)) as connection:
        return ", ".join(
            f"{name} {connection.execute('select current_setting(%s)', [name]).fetchone()[0]}"  # type: ignore[index]
            for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes")
        )


def _count(url: sqlalchemy.URL) -> int:
    with psycopg.connect(conninfo(url)) as connection:
        row = connection.execute("select count(*) from ticks").fetchone()
        return int(row[0]) if row else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
