"""From socket to committed row: python -m bench.ingest

Beside it, in the same run, a bare ``websockets`` receive loop fed the same frames by the same
separate process. Embedded Postgres in a temporary folder as shipped: fsync and synchronous_commit
on, every key and index, NOTIFY, continuity, ledger and health on.

With ``--minutes N`` only the memory is measured: N minutes at a steady rate.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil
import psycopg
import sqlalchemy
import uvloop
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from coinwatch import logs
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from ingest_daemon import daemon
from ingest_daemon.storage import committer
from warehouse.db.connect import conninfo
from warehouse.db.migrate import upgrade
from warehouse.embedded.ports import free_port
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.trades.rows import TickRows
from warehouse.trades.writer import TickWriter, Written

BLAST_FRAMES = 200_000
BURST = 600_000
BURSTS = 3
SUSTAINED_S = 10
PACE = 2_000
PACED_S = 10
SETTLING_S = 1
"""How much of the paced run is not counted: the daemon is still starting."""
MEMORY_RATE = 20_000
CHECK_EVERY_S = 0.05


def main() -> None:
    """Run all parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=BURST, help="trades in a burst")
    parser.add_argument("--minutes", type=float, help=f"memory at {MEMORY_RATE:,} trades/s, nothing else")
    parser.add_argument("--daemon", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.daemon:
        ready, url = arguments.daemon
        print(json.dumps(measure_daemon(json.loads(ready), url)))
        return
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            url = server.socket_url()
            upgrade(url)
            print(f"{os.cpu_count()} cores; Postgres: {durability(url)}")
            if arguments.minutes:
                memory(url, arguments.minutes)
            else:
                speed(url, arguments.burst)
        finally:
            server.stop()


def speed(url: sqlalchemy.URL, burst: int) -> None:
    """Rates and ratios, then latency."""
    bares, rates = [], []
    with blast(burst) as ready:
        for _ in range(BURSTS):
            bares.append(uvloop.run(bare_loop(ready)))
            print(f"bare websockets loop   {bares[-1]:>9,.0f} frames/s")
            rates.append(_show_rate("burst", run_daemon(ready, url), bares[-1]))
    ratio = statistics.median(rate / bare for rate, bare in zip(rates, bares, strict=True))
    print(f"median of {BURSTS} bursts     {statistics.median(rates):>9,.0f} trades/s   ratio {ratio:.2f}")
    with blast(round(statistics.median(rates) * SUSTAINED_S)) as ready:
        result = run_daemon(ready, url)
        _show_rate(f"held for {result['seconds']:.1f} s", result, statistics.median(bares))
    with sender("bench.paced", PACE * PACED_S, PACE) as ready:
        result = run_daemon(ready, url)
        print(
            f"latency at {PACE:,}/s     p50 {result['p50_ms']:.2f} ms   p99 {result['p99_ms']:.2f} ms   "
            f"from send to commit acknowledgement; {_counted(result)}"
        )


def memory(url: sqlalchemy.URL, minutes: float) -> None:
    """The daemon's memory over ``minutes`` at MEMORY_RATE."""
    trades = round(MEMORY_RATE * minutes * 60)
    with blast(trades, "--trades-per-s", MEMORY_RATE) as ready:
        result = run_daemon(ready, url)
    print(
        f"memory over {minutes:g} min at {MEMORY_RATE:,}/s: {result['early_rss_mb']:.0f} MB after a quarter "
        f"of the time, {result['late_rss_mb']:.0f} MB at the end; {_counted(result)}"
    )


def _show_rate(what: str, result: dict[str, Any], bare: float) -> float:
    rate = float(result["stored"] / result["seconds"])
    print(f"{what:<22} {rate:>9,.0f} trades/s   ratio {rate / bare:.2f}   {_counted(result)}")
    return rate


def _counted(result: dict[str, Any]) -> str:
    rows, commits = result["stored"], result["commits"]
    costs = ", ".join(
        f"{who} {result[f'{who}_s'] / rows * 1e6:.2f}" for who in ("daemon", "sender", "Postgres")
    )
    return (
        f"{rows:,} rows counted, {commits:,} commits, peak RSS {result['rss_mb']:.0f} MB; "
        f"CPU us a trade: {costs}"
    )


@contextmanager
def blast(trades: int, *options: object) -> Iterator[dict[str, Any]]:
    """A sender of at least ``trades`` trades, as fast as they are read."""
    repeat = -(-trades // BLAST_FRAMES)
    with sender("simulator.blast", "--frames", BLAST_FRAMES, "--repeat", repeat, *options) as ready:
        yield ready


@contextmanager
def sender(module: str, *arguments: object) -> Iterator[dict[str, Any]]:
    """A process that sends frames; yields its first line: where to connect and how many trades follow."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield {**json.loads(process.stdout.readline()), "pid": process.pid}
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
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        connection.execute("truncate ticks, stream_gaps, leases, service_heartbeats")
        connection.execute("checkpoint")
        postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None
    sending = psutil.Process(ready["pid"])
    before_s = cpu_s(sending), cpu_s(postmaster)
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with rest() as rest_url:
        finished = subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.ingest",
                "--daemon",
                json.dumps({**ready, "rest_url": rest_url}),
                address,
            ],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    result: dict[str, Any] = json.loads(finished.stdout)
    result["sender_s"] = cpu_s(sending) - before_s[0]
    result["Postgres_s"] = cpu_s(postmaster) - before_s[1]
    result["stored"] = _count(url)
    return result


class _OldTrades(BaseHTTPRequestHandler):
    """Binance's REST API, as if nothing was traded for a long time before the stream began."""

    def do_GET(self) -> None:  # the name is http.server's
        query = parse_qs(urlsplit(self.path).query)
        first, limit = int(query.get("fromId", ["0"])[0]), int(query.get("limit", ["0"])[0])
        trade = {"p": "1", "q": "1", "T": 1_600_000_000_000, "m": True}
        body = json.dumps([{"a": first + number, **trade} for number in range(limit)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def rest() -> Iterator[str]:
    """A REST root that shows no trades shortly before those that are streamed."""
    with HTTPServer(("127.0.0.1", 0), _OldTrades) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _TimedWriter(TickWriter):
    """Reads the clock when a commit is acknowledged."""

    stored = 0
    commits = 0
    first_sent_us = 0
    first_cpu_s = 0.0
    last_acknowledged_us = 0
    sent_us: list[NDArray[np.int64]] = []  # noqa: RUF012  # one daemon in this process
    latencies_us: list[NDArray[np.int64]] = []  # noqa: RUF012
    keeps_latencies = False

    async def write_rows(self, sent: TickRows, *arguments: Any, **named: Any) -> Written:
        timed = _TimedWriter
        if len(sent) and not timed.first_sent_us:
            timed.first_sent_us, timed.first_cpu_s = int(sent.ts_us.min()), time.process_time()
        written = await super().write_rows(sent, *arguments, **named)
        if len(sent):
            timed.last_acknowledged_us = now_us()
            timed.stored += written.inserted
            timed.commits += 1
            if timed.keeps_latencies:
                timed.sent_us.append(sent.ts_us)
                timed.latencies_us.append(timed.last_acknowledged_us - sent.ts_us)
        return written


def measure_daemon(ready: dict[str, Any], address: str) -> dict[str, Any]:
    """Run the daemon in this process until it has stored everything; what was measured."""
    logs.configure("ingest", level="error")
    committer.TickWriter = _TimedWriter  # type: ignore[attr-defined]
    _TimedWriter.keeps_latencies = is_paced = ready["trades"] <= PACE * PACED_S
    url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")
    rss_mb: list[float] = []

    async def until_all_is_stored(settings: Settings) -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(daemon.run(settings, url, stop=stop))
        while _TimedWriter.stored < ready["trades"] and not running.done():
            await asyncio.sleep(CHECK_EVERY_S)
            if not is_paced and _TimedWriter.stored:
                rss_mb.append(psutil.Process().memory_info().rss / 2**20)
        stop.set()
        await running

    with (
        tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url=address,
            markets=",".join(ready["markets"]),
            binance_ws_url=ready["ws_url"],
            binance_rest_url=ready["rest_url"],
            ingest_port=free_port(),
        )
        gc.collect()  # as coinwatch ingest does
        gc.freeze()
        runner.run(until_all_is_stored(settings))
    result = {
        "seconds": (_TimedWriter.last_acknowledged_us - _TimedWriter.first_sent_us) / 1e6,
        "commits": _TimedWriter.commits,
        "daemon_s": time.process_time() - _TimedWriter.first_cpu_s,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if is_paced:
        has_settled = (
            np.concatenate(_TimedWriter.sent_us) >= _TimedWriter.first_sent_us + SETTLING_S * SECOND_US
        )
        p50, p99 = np.percentile(np.concatenate(_TimedWriter.latencies_us)[has_settled], [50, 99]) / 1e3
        return {**result, "p50_ms": p50, "p99_ms": p99}
    return {**result, "early_rss_mb": rss_mb[len(rss_mb) // 4], "late_rss_mb": rss_mb[-1]}


def cpu_s(process: psutil.Process) -> float:
    """Of ``process`` and its children, those that ended included."""
    try:
        return float(sum(process.cpu_times()[:4])) + sum(map(cpu_s, process.children()))
    except psutil.NoSuchProcess:
        return 0.0


def durability(url: sqlalchemy.URL) -> str:
    with psycopg.connect(conninfo(url)) as connection:
        return ", ".join(
            f"{name} {connection.execute('select current_setting(%s)', [name]).fetchone()[0]}"  # type: ignore[index]
            for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes")
        )


def _count(url: sqlalchemy.URL) -> int:
    with psycopg.connect(conninfo(url)) as connection:
        row = connection.execute("select count(*) from ticks").fetchone()
        return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
