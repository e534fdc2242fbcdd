"""A real Streamlit process on a database, as ``coinwatch up`` starts it."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from coinwatch.times import now_us
from tests.app.cli.processes import clean_environment
from tests.app.dashboard.stock import Stock
from tests.conftest import PROJECT
from tests.waiting import eventually_sync
from warehouse.embedded.ports import free_port

PROGRAM = (sys.executable, "-m", "streamlit", "run", "app/dashboard/server.py")


@contextmanager
def serve_dashboard(
    database: URL,
    markets: Iterable[str],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """The address of a dashboard. AssertionError at the end when its log holds a traceback.

    ``settings`` are environment variables of Streamlit's or ours.
    """
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    given = {"COINWATCH_DATABASE_URL": url, "COINWATCH_MARKETS": ",".join(markets), **(settings or {})}
    with dashboard_process(folder, given, port) as server:
        yield server.root
    written = server.log()
    assert "Traceback" not in written, written


@dataclass(frozen=True)
class DashboardProcess:
    """A running dashboard."""

    root: str
    pid: int
    log_file: Path

    def log(self) -> str:
        """What it has written up to now."""
        return self.log_file.read_text()

    def resident_mb(self) -> float:
        """Its memory in megabytes."""
        return float(psutil.Process(self.pid).memory_info().rss) / 1e6


@contextmanager
def dashboard_process(
    folder: Path, settings: Mapping[str, str], port: int | None = None
) -> Iterator[DashboardProcess]:
    """A dashboard with these environment variables that answers."""
    port = port or free_port()
    log_file = folder / "streamlit.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [*PROGRAM, "--server.address", "127.0.0.1", "--server.port", str(port)],
            cwd=PROJECT,
            env=clean_environment(folder, HOME=str(folder), **settings),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually_sync(lambda: _healthy(port), timeout_s=60)
            yield DashboardProcess(f"http://127.0.0.1:{port}", process.pid, log_file)
        finally:
            process.terminate()
            process.wait(20)


def run_dashboard(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a dashboard that does not start, to its end."""
    return subprocess.run(
        [*PROGRAM, "--server.port", str(free_port()), *arguments],
        cwd=PROJECT,
        env=clean_environment(folder, HOME=str(folder), **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def trading(stock: Stock, prices: Mapping[str, float], ids: Mapping[str, int]) -> Iterator[None]:
    """Within, every market trades a few times a second with heartbeats of the daemon."""
    done = threading.Event()

    def trade() -> None:
        step = 0
        while not done.wait(0.3):
            step += 1
            with suppress(OperationalError):  # a test takes the database away
                stock.heard()
                for name, market_id in ids.items():
                    price = prices[name] * (1.002 + step % 7 / 1e4)
                    stock.ticks(market_id, [(now_us(), price, 0.5)])

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _healthy(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
        return bool(answer.status == 200)
