"""The wheel with its dependencies in an empty environment, as a user without a checkout installs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.system.demo import running_demo
from tests.waiting import eventually_sync
from tests.wheel import build_wheel

HEALTHY_WITHIN_S = 180
"""Python compiles every library at the first start."""

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1_200)]


def test_demo_runs_from_a_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run(
        [
            *(str(environment / "bin" / "python"), "-m", "pip", "--quiet", "install", str(wheel)),
            *("--constraint", str(PROJECT / "requirements.lock")),
        ],
        env=variables,
        cwd=tmp_path,
        check=True,
    )
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    coinwatch = str(environment / "bin" / "coinwatch")
    with running_demo(folder, coinwatch, within_s=HEALTHY_WITHIN_S, PYTHONPATH="") as demo:
        eventually_sync(lambda: demo.command("status", "--demo").returncode == 0, 300)
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0
        assert "Traceback" not in demo.output.read_text()
    assert sys.prefix not in demo.output.read_text()
