"""A real Streamlit process on a database, as ``coinwatch up`` starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from coinwatch.times import now_us
from tests.app.dashboard.stock import Stock
from tests.conftest import PROJECT
from tests.waiting import eventually_sync
from warehouse.embedded.ports import free_port


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
    port = port or free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COINWATCH_")} | {
        "COINWATCH_DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "COINWATCH_MARKETS": ",".join(markets),
        **(settings or {}),
    }
    command = [sys.executable, "-m", "streamlit", "run", "app/dashboard/server.py"]
    with (folder / "streamlit.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, "--server.address", "127.0.0.1", "--server.port", str(port)],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually_sync(lambda: _healthy(port), timeout_s=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
            log.seek(0)
            written = log.read()
    assert "Traceback" not in written, written


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
