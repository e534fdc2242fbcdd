"""The demo as a stranger runs it: one command, everything works, Ctrl-C ends everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import psycopg
import pytest
import websockets

from coinwatch.settings import DEFAULT_MARKETS
from coinwatch.times import SECOND_US, from_datetime, now_us
from simulator.markets import sim_markets
from tests.waiting import eventually_sync
from warehouse.embedded.ports import free_ports

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

COINWATCH = str(Path(sys.executable).parent / "coinwatch")
HEALTHY_WITHIN_S = 60
CANDLES_WITHIN_S = 180
PORTS = ("INGEST", "ALERTS", "DASHBOARD", "DAGSTER", "SIMULATOR_WS", "SIMULATOR_REST")


class Demo:
    """A running ``coinwatch up --demo`` with ports and a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.output = folder / "output.log"
        self.ports = free_ports(len(PORTS))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COINWATCH_")},
            **{f"COINWATCH_{name}_PORT": str(port) for name, port in zip(PORTS, self.ports, strict=True)},
            "COINWATCH_DATA_DIR": str(self.data_dir),
        }
        self.started = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [COINWATCH, "up", "--demo"],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, text: str) -> bool:
        assert self.process.poll() is None, self.output.read_text()[-4_000:]
        return text in self.output.read_text()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COINWATCH, *arguments],
            env=self.environment,
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Every process that works on this demo's data folder, children that moved away included."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.data_dir) in " ".join(process.cmdline()) + process.environ().get(
                    "COINWATCH_DATA_DIR", ""
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        eventually_sync(lambda: running.said("Coinwatch is running on simulated exchanges"), HEALTHY_WITHIN_S)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
            running.process.wait(60)
        left = running.processes()
        for process in left:
            process.kill()


@pytest.fixture(scope="module")
def connection(demo: Demo) -> Iterator[psycopg.Connection]:
    url = demo.command("db", "url", "--show-password", "--demo").stdout.strip()
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_trades_flow_on_every_market_that_is_not_quiet(connection: psycopg.Connection) -> None:
    busy = {str(market) for market, sim in sim_markets().items() if sim.trades_per_s * 60 > 4}
    wanted = busy & {str(market) for market in DEFAULT_MARKETS}
    assert len(wanted) > 15

    def traded() -> set[str]:
        rows = connection.execute("select distinct exchange || ':' || symbol from v_ticks").fetchall()
        return {row[0] for row in rows}

    eventually_sync(lambda: wanted <= traded(), 60)


async def test_a_watch_below_the_price_is_answered_by_exactly_one_alert(demo: Demo) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{demo.ports[1]}/ws", proxy=None) as socket_:
        await socket_.send(json.dumps({"cmd": "watch", "symbol": "btcusdt", "price": 1.0, "id": 7}))
        acknowledged = json.loads(await asyncio.wait_for(socket_.recv(), 5))
        assert (acknowledged["type"], acknowledged["id"]) == ("ack", 7)
        alert = json.loads(await asyncio.wait_for(socket_.recv(), 10))
        assert alert["type"] == "alert"
        assert alert["message"] == "Take profit on btcusdt"
        assert alert["price"] > 1.0
        late_s = (now_us() - from_datetime(datetime.fromisoformat(alert["ts"]))) / SECOND_US
        assert late_s < 1, "not within a second of its trade"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket_.recv(), 3)


def test_the_last_24_hours_of_candles_are_there(demo: Demo, connection: psycopg.Connection) -> None:
    """Covered minutes and no fewer, up to the newest that could be asked for at the time."""
    query = """
        select count(*) from candle_coverage join markets on markets.id = market_id
        where interval = '1m'
          and covered @> tstzrange(date_trunc('minute', now() - interval '24 hours'),
                                   date_trunc('minute', now() - interval '10 minutes'))
    """
    left_s = CANDLES_WITHIN_S - (time.monotonic() - demo.started)
    eventually_sync(lambda: count(connection, query) == len(DEFAULT_MARKETS), left_s)
    assert count(connection, "select count(*) from v_candles where open_ts > now() - interval '24 hours'") > (
        20_000
    )


def test_status_and_every_address_answer(demo: Demo) -> None:
    answer = demo.command("status", "--demo")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Candles (24 h): none missing" in answer.stdout
    for port, path in zip(
        demo.ports, ("/healthz", "/healthz", "/_stcore/health", "/server_info"), strict=False
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            assert b" 200 " in client.recv(100)


def test_a_second_stack_is_refused_by_port(demo: Demo) -> None:
    answer = demo.command("up", "--demo")
    assert answer.returncode == 1
    assert "COINWATCH_ALERTS_PORT" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_killed_daemon_comes_back(demo: Demo, connection: psycopg.Connection) -> None:
    daemon = next(process for process in demo.processes() if process.cmdline()[-2:] == [COINWATCH, "ingest"])
    daemon.kill()
    eventually_sync(lambda: demo.said("exited on SIGKILL; restarting"), 10)
    killed_at = connection.execute("select now()").fetchone()
    query = "select count(*) from service_heartbeats where service = 'ingest' and started_at > %s"
    eventually_sync(lambda: (connection.execute(query, killed_at).fetchone() or [0])[0], 30)


def test_ctrl_c_ends_everything(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert "everything has stopped" in demo.output.read_text()
    assert demo.processes() == []
    assert "Traceback" not in demo.output.read_text()
