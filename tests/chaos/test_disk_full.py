"""A full disk: nothing is lost, and health, metrics and log state what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import websockets

from coinwatch.times import now_us
from simulator.markets import sim_markets
from simulator.server import Simulator
from tests.app.cli.processes import COINWATCH, clean_environment
from tests.chaos.ground import Ground, busiest
from tests.chaos.small_disk import SmallDisk, small_disk
from tests.waiting import eventually
from warehouse.db.connect import conninfo
from warehouse.embedded.ports import free_ports
from warehouse.embedded.server import EmbeddedPostgres

TRADES_PER_S = 300
FULL_S = 120.0
DISK_MB = 1_000
UP_WITHIN_S = 120.0
REPORTED_WITHIN_S = 10.0
WELL_WITHIN_S = 60.0
MOST_LINES = 120
"""Of all parts together, from before the disk is full until everything works again."""
MOST_REPEATED = 3
PORTS = ("INGEST", "ALERTS", "DASHBOARD", "DAGSTER")
INGEST, ALERTS = "INGEST", "ALERTS"

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]


class Answer(msgspec.Struct):
    """What a health page answered, and when."""

    at_s: float
    status: int
    codes: frozenset[str]


class Stack:
    """``coinwatch up`` with all it stores on a small disk, on the exchanges of a simulator."""

    def __init__(self, folder: Path, disk: SmallDisk, simulator: Simulator) -> None:
        self.folder = folder
        self.disk = disk
        self.data_dir = disk.path / "data"
        self.log = folder / "up.log"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.answers: dict[str, list[Answer]] = {INGEST: [], ALERTS: []}
        self.refusals: list[tuple[str, str]] = []
        """Codes and messages of refused watches."""
        settings = {
            **simulator.settings_overrides(),
            **{f"{name.lower()}_port": str(port) for name, port in self.ports.items()},
            "markets": ",".join(map(str, busiest())),
            "data_dir": str(self.data_dir),
            "rate_limit_scale": "1000",
            "first_reach_s": "2",
            "disk_low_gb": "0.3",
            "log_format": "console",
        }
        self.environment = clean_environment(
            folder, **{f"COINWATCH_{name.upper()}": value for name, value in settings.items()}
        )

    async def start(self, *arguments: str, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(COINWATCH, *arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    async def status(self) -> str:
        """What ``coinwatch status`` prints."""
        process = await self.start("status", output=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1
        return output.decode()

    async def metrics(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{self.ports[INGEST]}/metrics")).text

    def lines(self, text: str = "", after: int = 0) -> list[str]:
        """The lines of the log that contain ``text``, without the first ``after`` lines."""
        return [line for line in self.log.read_text().splitlines()[after:] if text in line]

    async def observe(self) -> None:
        """Record what the health pages answer and which watches are refused, once a second."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                for name, answers in self.answers.items():
                    answer = await client.get(f"http://127.0.0.1:{self.ports[name]}/healthz")
                    codes = frozenset(reason["code"] for reason in answer.json().get("reasons", []))
                    answers.append(Answer(time.monotonic(), answer.status_code, codes))
                reply = await self._watch()
                if reply["type"] == "error":
                    self.refusals.append((reply["code"], reply["message"]))
                await asyncio.sleep(1)

    async def _watch(self) -> dict[str, Any]:
        url = f"ws://127.0.0.1:{self.ports[ALERTS]}/ws"
        async with asyncio.timeout(30), websockets.connect(url, proxy=None) as socket:
            await socket.send(json.dumps({"cmd": "watch", "symbol": "BTC-USDT", "price": 1e9}))
            reply: dict[str, Any] = json.loads(await socket.recv())
            return reply


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Stack, Ground]]:
    markets = busiest()
    rates = {market: sim.trades_per_s for market, sim in sim_markets(1.0).items()}
    share = sum(rates[market] for market in markets)
    with small_disk(folder / "disk", DISK_MB) as disk:
        async with Simulator(trades_per_s=TRADES_PER_S / share) as simulator:
            stack = Stack(folder, disk, simulator)
            with stack.log.open("wb") as log:
                process = await stack.start("up", output=log.fileno())
            try:
                await eventually(lambda: stack.lines("Coinwatch is running"), UP_WITHIN_S)
                server = EmbeddedPostgres(stack.data_dir / "postgres")
                yield stack, Ground(folder, server, "coinwatch", simulator, markets)
            finally:
                disk.free()
                process.send_signal(signal.SIGINT)
                await asyncio.wait_for(process.wait(), 60)


async def end_write_ahead_log(conn: psycopg.AsyncConnection) -> None:
    """Use up the files that Postgres has in reserve for its write-ahead log; then it ends."""
    with suppress(psycopg.OperationalError):
        while True:
            await conn.execute("select pg_switch_wal(), pg_logical_emit_message(false, 'x', 'x')")


async def test_disk_full_for_two_minutes(tmp_path: Path) -> None:
    """Another program fills the disk of all parts at 300 trades/s; after a minute Postgres ends, too."""
    async with running(tmp_path) as (stack, place):
        await place.settled()
        url = conninfo(place.server.administrator_url("coinwatch"))
        ending = await psycopg.AsyncConnection.connect(url, autocommit=True)
        from_us, before = now_us(), len(stack.lines())
        observing = asyncio.create_task(stack.observe())
        stack.disk.fill()
        full_at = time.monotonic()
        await asyncio.sleep(REPORTED_WITHIN_S)
        metrics, status = await stack.metrics(), await stack.status()
        await asyncio.sleep(full_at + FULL_S / 2 - time.monotonic())
        await end_write_ahead_log(ending)
        await asyncio.sleep(full_at + FULL_S - time.monotonic())
        stack.disk.free()
        free_at = time.monotonic()
        await asyncio.sleep(WELL_WITHIN_S)
        assert not observing.done()
        observing.cancel()
        await asyncio.wait([observing])
        to_us = now_us()
        tally = await place.counted(from_us, to_us)
        print_report(stack, before, full_at, f"{(to_us - from_us) / 1e6:.0f} s: {tally}")
        assert tally.is_exact
        assert tally.unfillable == 0
        assert tally.true > TRADES_PER_S * FULL_S / 2

        assert "Disk space is low: 0 B of" in status
        assert "for database, spool and dagster in" in status
        assert 'coinwatch_ingest_disk_low{stores="database"} 1.0' in metrics
        assert 'coinwatch_ingest_problem{code="database_full"} 1.0' in metrics
        assert_health(stack, full_at, free_at)
        assert_log(stack.lines(after=before))


def assert_health(stack: Stack, full_at: float, free_at: float) -> None:
    """Both services were well before, unwell within seconds and throughout, and well afterwards."""
    for answers in stack.answers.values():
        during = [answer for answer in answers if full_at + REPORTED_WITHIN_S < answer.at_s < free_at]
        assert len(during) > FULL_S / 4
        assert {answer.status for answer in during} == {503}
        assert during[0].codes >= {"database_full"}
        assert answers[-1].status == 200
    assert {code for code, _ in stack.refusals} == {"try_again"}
    assert any("the disk of Postgres is full" in message for _, message in stack.refusals)


def assert_log(lines: list[str]) -> None:
    """Few lines, with the right remedy."""
    assert len(lines) < MOST_LINES
    kinds = Counter(re.sub(r"\d[\d.:]*", "", line) for line in lines)
    repeated = {kind: count for kind, count in kinds.items() if count > MOST_REPEATED}
    assert not repeated
    text = "\n".join(lines)
    assert "postgres │ does not answer; starting it" in text
    assert "free space" in text
    assert "COINWATCH_DATABASE_URL" not in text
    for part in ("ingest", "alerts", "scheduler"):
        assert [line for line in lines if part in line and "Traceback" in line] == []


def print_report(stack: Stack, before: int, full_at: float, tally: str) -> None:
    lines = stack.lines(after=before)
    report = [tally, f"{len(lines)} lines of log, {len(stack.refusals)} refused watches"]
    for name, answers in stack.answers.items():
        last: tuple[int, frozenset[str]] | None = None
        for answer in answers:
            if (answer.status, answer.codes) != last:
                last = (answer.status, answer.codes)
                report.append(f"{answer.at_s - full_at:7.1f} s {name} {answer.status} {sorted(answer.codes)}")
    print("\n".join([*report, *lines]))  # noqa: T201  # the figures of a proof
