"""A part of the demo hangs, and the demo is killed while another runs beside it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.app.cli.processes import COINWATCH
from tests.system.demo import Demo, running_demo
from tests.waiting import eventually_sync

pytestmark = [pytest.mark.system, pytest.mark.proof, pytest.mark.timeout(600)]

NOTICED_WITHIN_S = 90


def part(demo: Demo, name: str) -> psutil.Process:
    return next(process for process in demo.processes() if process.cmdline()[-2:] == [COINWATCH, name])


def test_hung_endpoint_is_restarted_and_a_killed_demo_ends_alone(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with running_demo(tmp_path / "first", within_s=120) as first:
        hung = part(first, "alerts")
        hung.suspend()
        eventually_sync(lambda: first.has_printed("alerts │ has failed its health checks"), NOTICED_WITHIN_S)
        eventually_sync(lambda: part(first, "alerts") != hung)
        with running_demo(tmp_path / "second", within_s=180) as second:
            first.process.kill()
            first.process.wait()
            eventually_sync(lambda: not first.processes())
            assert part(second, "ingest").is_running()
            assert "restarting" not in second.output.read_text()
            stopped = second.command("down", "--demo", "--json")
            assert stopped.returncode == 0, stopped.stderr
            assert second.processes() == []
