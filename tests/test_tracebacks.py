"""Tracebacks of every kind of program show code and messages, and no values of variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SECRET = "s3cret-password"  # noqa: S105
FAILURES = """
import asyncio, logging, threading
import structlog

def connect():
    password = "-".join(["s3cret", "password"])
    raise ValueError(f"refused after {len(password)} letters")

for logger in (structlog.get_logger("ours"), logging.getLogger("asyncio"), logging.getLogger("library")):
    try:
        connect()
    except ValueError:
        logger.exception("failed")
thread = threading.Thread(target=connect)
thread.start()
thread.join()

async def run():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(connect))

asyncio.run(run())
"""
DAGSTER_RUN = """
import dagster as dg

@dg.op
def fails():
    connect()

@dg.job
def job():
    fails()

result = job.execute_in_process(raise_on_error=False)
print([event.event_specific_data for event in result.all_events if event.is_step_failure])
"""
PROGRAMS = {
    "console": "from coinwatch import logs; logs.configure('x', log_format='console')",
    "json": "from coinwatch import logs; logs.configure('x', log_format='json')",
    "dagster": "import pipelines.definitions",
    "dashboard": """
from app.dashboard.serving import log
from coinwatch.settings import load_settings
log.configure(load_settings())
""",
    "command": """
import sys
from app.cli import main
sys.argv = ["coinwatch", "--version"]
try:
    main.main()
except SystemExit:
    pass
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_traceback_shows_the_value_of_a_variable(program: str, tmp_path: Path) -> None:
    parts = [PROGRAMS[program], FAILURES]
    if program == "dagster":
        parts.insert(1, FAILURES.partition("for logger")[0] + DAGSTER_RUN)
    script = tmp_path / "program.py"
    script.write_text("\n".join(parts))
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "DAGSTER_HOME": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    shown = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert shown.count("refused after 15 letters") >= (6 if program == "dagster" else 5), shown
    assert "Traceback" in ended.stderr
    assert SECRET not in shown
