"""A ``coinwatch up`` of one part, as a process, with the real lock, guard and supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from app.cli.runner import data_folder, marks
from app.cli.runner.data_folder import hold
from app.cli.runner.health import Health
from app.cli.runner.keepers import guarded
from app.cli.runner.supervisor import Part, Supervisor
from tests.waiting import eventually_sync

PROJECT = Path(__file__).parents[4]
PART = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
"""Starts a child that leaves the session of the part."""


class SmallUp:
    """A running process; its guard, its part and the child of that run when it is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.with_name("output.log")
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(folder)],
                cwd=PROJECT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        eventually_sync(self._is_complete)
        record = data_folder.read(folder)
        assert record is not None
        self.run = record.run

    def _is_complete(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        record = data_folder.read(self.folder)
        return (
            record is not None
            and record.pid == self.process.pid
            and [part for _, part in processes(record.run)].count("part") == 2
            and "guard" in marks.parts_of(record.run)
        )

    def guard(self) -> psutil.Process:
        return next(process for process, part in processes(self.run) if part == "guard")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


def processes(run: str) -> list[tuple[psutil.Process, str]]:
    """The processes of a run with the names of their parts."""
    return list(marks.processes(run))


async def _run(folder: Path, run: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def health() -> Health:
        return Health.WORKS

    part = Part(name="part", command=(sys.executable, "-c", PART), health=health, hangs_after_s=60)
    async with guarded(folder, run, os.environ, _print):
        await Supervisor([[part]], os.environ, run, _print).run(stop, lambda: None)


def _print(name: str, line: str) -> None:
    print(f"{name}: {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    held = Path(sys.argv[1])
    with hold(held, demo=False, notify=lambda line: _print("coinwatch", line)) as started:
        asyncio.run(_run(held, started))
