"""The demo as a new user runs it: a command starts everything, and Ctrl-C stops everything."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import websockets

from coinwatch.settings import DEFAULT_MARKETS
from coinwatch.times import SECOND_US, from_datetime, now_us
from simulator.markets import sim_markets
from tests.app.cli.processes import COINWATCH
from tests.system.demo import Demo, running_demo
from tests.waiting import eventually_sync
from tests.wheel import build_wheel, install_wheel

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

CANDLES_WITHIN_S = 180


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, run from an installed wheel in a folder outside the checkout."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    installed = install_wheel(wheel, tmp_path_factory.mktemp("packages") / "installed")
    with running_demo(tmp_path_factory.mktemp("demo"), PYTHONPATH=str(installed)) as demo:
        yield demo


@pytest.fixture(scope="module")
def connection(demo: Demo) -> Iterator[psycopg.Connection]:
    url = demo.command("db", "url", "--show-password", "--demo").stdout.strip()
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_trades_are_stored_for_every_busy_market(connection: psycopg.Connection) -> None:
    busy = {str(market) for market, sim in sim_markets().items() if sim.trades_per_s * 60 > 4}
    wanted = busy & {str(market) for market in DEFAULT_MARKETS}
    assert len(wanted) > 15

    def traded() -> set[str]:
        rows = connection.execute("select distinct exchange || ':' || symbol from v_ticks").fetchall()
        return {row[0] for row in rows}

    eventually_sync(lambda: wanted <= traded(), 60)


async def test_watch_below_the_price_fires_a_single_alert(demo: Demo) -> None:
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


@pytest.mark.proof
def test_candles_of_the_last_24_hours_are_collected(demo: Demo, connection: psycopg.Connection) -> None:
    """Every minute is covered, up to the newest that can be collected."""
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


@pytest.mark.proof
def test_status_is_healthy_once_candles_are_collected(demo: Demo) -> None:
    answer = demo.command("status", "--demo")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Candles (24 h): none missing" in answer.stdout


def test_every_port_answers(demo: Demo) -> None:
    for port, path in zip(
        demo.ports, ("/healthz", "/healthz", "/_stcore/health", "/server_info"), strict=False
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            assert b" 200 " in client.recv(100)


def test_stack_listens_on_loopback_and_its_own_ports(demo: Demo, connection: psycopg.Connection) -> None:
    assert demo.listening() == {("127.0.0.1", port) for port in demo.ports}
    postgres = psutil.Process(connection.info.backend_pid).parent()
    assert postgres is not None
    sockets = [
        socket.laddr for socket in postgres.net_connections("tcp") if socket.status == psutil.CONN_LISTEN
    ]
    assert sockets == [("127.0.0.1", connection.info.port)]
    folder = demo.data_dir / "demo" / "rpc"
    if folder.exists():  # elsewhere where the path is too long for a socket
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.fixture
def dagster(demo: Demo) -> Iterator[httpx.Client]:
    """A client of Dagster's web server."""
    root = f"http://127.0.0.1:{demo.ports[3]}"
    with httpx.Client(base_url=root, timeout=60, trust_env=False) as client:
        yield client


def test_no_page_of_another_origin_changes_dagster(dagster: httpx.Client) -> None:
    pause = {"query": "mutation { setAutoMaterializePaused(paused: true) }"}
    is_paused = {"query": "{ instance { autoMaterializePaused } }"}
    before = dagster.post("/graphql", json=is_paused).raise_for_status().json()
    refused = [
        dagster.get("/graphql", params=pause),
        dagster.post("/graphql", data=pause),
        dagster.post("/graphql", json=pause, headers={"Origin": "https://evil.example"}),
        dagster.post("/graphql", json=pause, headers={"Host": "evil.example"}),
    ]
    assert [answer.status_code for answer in refused] == [405, 415, 403, 403]
    assert dagster.post("/graphql", json=is_paused).json() == before


async def test_dagster_runs_a_job_and_streams_its_log(dagster: httpx.Client) -> None:
    """The requests of its web interface: launch by POST, and the log by a subscription."""
    root = str(dagster.base_url).rstrip("/")
    run_id = await asyncio.to_thread(launch, dagster, "report_gaps", root)
    async with websockets.connect(
        f"{root.replace('http', 'ws')}/graphql",
        subprotocols=[websockets.Subprotocol("graphql-ws")],
        origin=websockets.Origin(root),
        proxy=None,
    ) as opened:
        await opened.send(json.dumps({"type": "connection_init", "payload": {}}))
        payload = {"query": RUN_LOG, "variables": {"runId": run_id, "cursor": None}}
        await opened.send(json.dumps({"id": "1", "type": "start", "payload": payload}))
        events: list[str] = []
        async with asyncio.timeout(60):
            while "RunSuccessEvent" not in events:
                frame = json.loads(await opened.recv())
                messages = frame.get("payload", {}).get("data", {}).get("pipelineRunLogs", {})
                events += [message["__typename"] for message in messages.get("messages", ())]
    assert {"RunStartEvent", "MaterializationEvent"} <= set(events)


RUN_LOG = """subscription($runId: ID!, $cursor: String) { pipelineRunLogs(runId: $runId, cursor: $cursor) {
    ... on PipelineRunLogsSubscriptionSuccess { messages { __typename } } } }"""


def launch(dagster: httpx.Client, job: str, origin: str) -> str:
    """Start a run of ``job`` as a page of ``origin`` does; returns its id."""
    query = """mutation($job: String!) { launchRun(executionParams: { runConfigData: {}, selector: {
        repositoryLocationName: "coinwatch", repositoryName: "__repository__", jobName: $job } })
        { ... on LaunchRunSuccess { run { runId } } } }"""
    answer = dagster.post(
        "/graphql", json={"query": query, "variables": {"job": job}}, headers={"Origin": origin}
    )
    return str(answer.raise_for_status().json()["data"]["launchRun"]["run"]["runId"])


def test_outlets_of_the_demo_use_its_server(demo: Demo) -> None:
    result = demo.command("outlets", "add", "bot", "https://example.org/", "--secret-file", "s", "--demo")
    assert result.returncode == 0, result.stderr
    listed = json.loads(demo.command("outlets", "list", "--demo", "--json").stdout)
    assert [outlet["client"] for outlet in listed["outlets"]] == ["bot"]
    assert not (demo.data_dir / "postgres").exists()


def test_second_stack_is_refused_by_its_ports(demo: Demo, tmp_path: Path) -> None:
    answer = demo.command("up", "--demo", COINWATCH_DATA_DIR=str(tmp_path))
    assert answer.returncode == 1
    assert "COINWATCH_ALERTS_PORT" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_second_stack_is_refused_by_the_data_folder(demo: Demo) -> None:
    answer = demo.command("up", "--demo")
    assert answer.returncode == 1
    assert (
        f"`coinwatch up` (pid {demo.process.pid}) runs on {demo.data_dir / 'demo'} already" in answer.stderr
    )
    assert "coinwatch down --demo" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_killed_daemon_is_restarted(demo: Demo, connection: psycopg.Connection) -> None:
    daemon = next(process for process in demo.processes() if process.cmdline()[-2:] == [COINWATCH, "ingest"])
    daemon.kill()
    eventually_sync(lambda: demo.has_printed("exited on SIGKILL; restarting"), 10)
    killed_at = connection.execute("select now()").fetchone()
    query = "select count(*) from service_heartbeats where service = 'ingest' and started_at > %s"
    eventually_sync(lambda: (connection.execute(query, killed_at).fetchone() or [0])[0], 30)


def test_ctrl_c_stops_everything(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert "everything has stopped" in demo.output.read_text()
    assert demo.processes() == []
    assert "Traceback" not in demo.output.read_text()
