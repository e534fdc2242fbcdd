"""The whole of it, as an operator runs it: Dagster's own daemon, killed in the middle of its work."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from coinwatch.settings import Settings
from simulator.server import Simulator
from tests.conftest import PROJECT
from tests.pipelines.conftest import Conn
from tests.waiting import eventually

DAEMON = str(Path(sys.executable).parent / "dagster-daemon")


@pytest.mark.proof
@pytest.mark.usefixtures("without_dagster")
async def test_a_killed_daemon_is_replaced_without_loss(
    dagster_home: Path, configure: Callable[..., Settings], simulator: Simulator, conn: Conn
) -> None:
    """No click: the sensor asks, the kill is noticed, a new run completes the day, and all end on TERM."""
    shutil.copy(PROJECT / "workspace.yaml", dagster_home)
    configure(
        markets="kraken:BTC-USD,binance:BTC-USDC", rate_limit_scale="1", **simulator.settings_overrides()
    )
    with daemon(dagster_home) as first:
        await eventually(lambda: "kraken/0/public/Trades" in simulator.requests, timeout_s=60)
        os.killpg(first.pid, signal.SIGKILL)
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.STARTED, "no process was left to change it"

        configure(markets="kraken:BTC-USD,binance:BTC-USDC", **simulator.settings_overrides())
        with daemon(dagster_home) as second:

            async def is_whole() -> bool:
                whole = await conn.execute(
                    "select count(*) from candle_coverage where covered"
                    " @> tstzrange(now() - interval '24 hours', now() - interval '10 minutes')"
                )
                return await whole.fetchone() == (2,)

            await eventually(is_whole, timeout_s=180)
            ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
            await eventually(lambda: instance.get_run_ids(ended), timeout_s=60)
            killed = instance.get_run_by_id(run.run_id)
            assert killed is not None
            assert killed.status is dg.DagsterRunStatus.FAILURE
            processes = [psutil.Process(second.pid), *psutil.Process(second.pid).children(recursive=True)]
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, 40) == 0
            await eventually(lambda: not any(process.is_running() for process in processes), timeout_s=90)


@contextmanager
def daemon(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon in a session of its own, so that all it started can be ended with it."""
    with (home / "daemon.log").open("ab") as log:
        process = subprocess.Popen([DAEMON, "run"], cwd=home, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
