"""The dashboard with a year stored and many looking: python -m bench.dashboard

Fills a Postgres of its own with ``--markets`` times ``--days`` of 1m candles, their rollups and ``--ticks``
trades, lets every market trade, and starts Streamlit as ``coinwatch up`` does. Charts are timed in headless
Chromium from navigation, or from a click, to pixels, each time beside a plain ``st.plotly_chart``. Reruns are
those of real sessions over the websocket: page viewer, then ``--viewers`` at once, all in the same instant,
each running every part of the page again as often as that part asks to be.

The first run takes ten minutes and 15 GB; with ``--keep FOLDER`` the next ones take only what was since.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import URL

from bench import browser
from bench.stored import market_names, stored, trading
from bench.viewer import Viewer, viewer
from warehouse.embedded.ports import free_port

PROJECT = Path(__file__).resolve().parents[1]
DASHBOARD, PLOTLY = "app/dashboard/server.py", "bench/plotly_page.py"
_ALONE = ("--server.headless", "true", "--browser.gatherUsageStats", "false")
TRIES = 3
TICKS = 20
CHARTS = {"1d": "15m", "1mo": "4h", "1y": "4h"}
"""Lengths of chart, and the candles that each is changed to."""

COLD_S, CHANGE_S, RERUN_S, CROWD_S = 2.0, 0.7, 0.15, 1.0


@dataclass
class Table:
    """Figures, printed as they come."""

    missed: list[str] = field(default_factory=list)

    def add(self, what: str, seconds: Sequence[float], target_s: float | None = None, note: str = "") -> None:
        """A line: the median, the slowest twentieth, and whether that is within the target."""
        ordered = sorted(seconds)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        verdict = ""
        if target_s is not None:
            verdict = f"under {target_s * 1e3:,.0f} ms: {'yes' if p95 < target_s else 'NO'}"
            if p95 >= target_s:
                self.missed.append(what)
        print(
            f"{what:<46} p50 {statistics.median(ordered) * 1e3:6,.0f} ms   p95 {p95 * 1e3:6,.0f} ms   "
            f"{verdict:<20} {note}".rstrip(),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markets", type=int, default=60)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--ticks", type=int, default=20_000_000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="where the warehouse is, or is made, and stays")
    asked = parser.parse_args()
    names = market_names(asked.markets)
    table = Table()
    with nullcontext(str(asked.keep)) if asked.keep else tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with stored(Path(folder) / "postgres", names, asked.days, asked.ticks) as (url, ids):
            rows = asked.markets * asked.days * 1_440
            print(
                f"stored: {rows:,} candles of 1m, their rollups and {asked.ticks:,} trades; "
                f"ready in {time.perf_counter() - began:.0f} s; load {os.getloadavg()[0]:.1f}"
            )
            with trading(url, ids):
                if browser.CHROMIUM.exists():
                    charts(table, url, names)
                else:
                    print(f"no {browser.CHROMIUM}: no chart was timed")
                with streamlit(DASHBOARD, url, names) as server:
                    asyncio.run(reruns(table, server, asked.viewers, asked.seconds))
    verdict = f"missed: {', '.join(table.missed)}" if table.missed else "all within their targets"
    print(f"load at the end {os.getloadavg()[0]:.1f}; {verdict}")


@dataclass(frozen=True)
class Server:
    """A Streamlit in a process of its own."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """What it has used so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


@contextmanager
def streamlit(page: str, url: URL, names: Sequence[str]) -> Iterator[Server]:
    """``page`` served, with its process."""
    port = free_port()
    environment: Mapping[str, str] = {
        key: value for key, value in os.environ.items() if not key.startswith("COINWATCH_")
    } | {
        "COINWATCH_DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
        "COINWATCH_MARKETS": ",".join(names),
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-m", "streamlit", "run", page, "--server.fileWatcherType", "none"]
    process = subprocess.Popen(
        [*command, *_ALONE, "--server.address", "127.0.0.1", "--server.port", str(port)],
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
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(15)


def charts(table: Table, url: URL, names: Sequence[str]) -> None:
    """Time charts in a browser: ours, and the plain page."""
    for what, page, path in (("chart", DASHBOARD, "chart"), ("plotly", PLOTLY, "")):
        ours = page == DASHBOARD
        with streamlit(page, url, names) as server:
            root = f"http://127.0.0.1:{server.port}/{path}"
            with browser.browser() as first:
                took = browser.open_chart(first, f"{root}?{_asked(names[-1], '1d')}")
            table.add(f"{what}, very first page of the process", [took])
            for length, other in CHARTS.items():
                cold, changes = [], []
                for number in range(TRIES):
                    with browser.browser() as chrome:
                        address = f"{root}?{_asked(names[number], length)}"
                        cold.append(browser.open_chart(chrome, address))
                        changes.append(browser.change_interval(chrome, other))
                table.add(f"{what} of {length}, from a cold page", cold, COLD_S if ours else None)
                table.add(f"{what} of {length}, changed to {other}", changes, CHANGE_S if ours else None)


def _asked(name: str, length: str) -> str:
    exchange, _, symbol = name.partition(":")
    return f"symbol={symbol}&exchange={exchange}&range={length}"


async def reruns(table: Table, server: Server, viewers: int, seconds: int) -> None:
    """Time reruns of real sessions."""
    async with viewer(server.port) as page:
        await page.open("overview")
    async with viewer(server.port) as page:
        table.add("Overview, the whole page", [await page.open("overview") for _ in range(TICKS)], RERUN_S)
        for fragment, every_s in sorted(page.fragments.items(), key=lambda item: item[1]):
            before, cpu_s = page.received_bytes, server.cpu_s()
            took = [await page.tick(fragment) for _ in range(TICKS)]
            kilobytes = (page.received_bytes - before) / TICKS / 1e3
            cpu_ms = (server.cpu_s() - cpu_s) / TICKS * 1e3
            note = f"{cpu_ms:.0f} ms of CPU, {kilobytes:.0f} kB"
            table.add(f"Overview, its part of every {every_s:.0f} s", took, RERUN_S, note)
    await _crowd(table, server, viewers, seconds)


async def _crowd(table: Table, server: Server, viewers: int, seconds: int) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(viewer(server.port)) for _ in range(viewers)]
        opened = await asyncio.gather(*(page.open("overview") for page in crowd))
        table.add(f"Overview, {viewers} viewers come at once", opened)
        cpu_s = server.cpu_s()
        results = await asyncio.gather(*(_look(page, seconds) for page in crowd))
        cpu_s = server.cpu_s() - cpu_s
    took = [second for reruns, _ in results for second in reruns]
    skipped = sum(late for _, late in results)
    memory = server.process.memory_info().rss / 1e6
    note = f"{len(took) / seconds:.0f} reruns/s, {cpu_s / seconds:.0%} of a core, {memory:,.0f} MB"
    table.add(f"Overview, {viewers} viewers", took, CROWD_S, note)
    print(f"    {skipped} of {len(took) + skipped} refreshes skipped")
    if skipped:
        table.missed.append("skipped refreshes")


async def _look(page: Viewer, seconds: int) -> tuple[list[float], int]:
    """Run every part of the page as often as it asks; how long each run took, and how many came too late."""
    end = time.monotonic() + seconds
    due = {fragment: time.monotonic() + every for fragment, every in page.fragments.items()}
    took, skipped = [], 0
    while (now := time.monotonic()) < end:
        fragment = min(due, key=lambda name: due[name])
        await asyncio.sleep(max(0.0, due[fragment] - now))
        took.append(await page.tick(fragment))
        every = page.fragments[fragment]
        due[fragment] += every
        while due[fragment] < time.monotonic() - every:
            due[fragment] += every
            skipped += 1
    return took, skipped


if __name__ == "__main__":
    main()
