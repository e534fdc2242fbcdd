"""The supervisor with real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from app.cli.runner import supervisor
from app.cli.runner.health import Health
from app.cli.runner.supervisor import CHECKS_UNTIL_HUNG, Part, Supervisor, describe_exit
from tests.waiting import eventually

TIMEOUT_S = 90.0


class RunningSupervisor:
    """A supervisor under test with the lines it printed, and events to wait for."""

    def __init__(self, waves: list[list[Part]]) -> None:
        self.lines: list[str] = []
        self.printed = asyncio.Condition()
        self.stop = asyncio.Event()
        self.healthy = asyncio.Event()
        self.supervisor = Supervisor(waves, os.environ, "test", self.print_line)

    def print_line(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")
        asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self.printed:
            self.printed.notify_all()

    async def prints(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(TIMEOUT_S), self.printed:
            await self.printed.wait_for(lambda: sum(text in line for line in self.lines) >= times)


@asynccontextmanager
async def running(waves: list[list[Part]]) -> AsyncIterator[RunningSupervisor]:
    running_supervisor = RunningSupervisor(waves)
    task = asyncio.create_task(
        running_supervisor.supervisor.run(running_supervisor.stop, running_supervisor.healthy.set)
    )
    try:
        yield running_supervisor
    finally:
        running_supervisor.stop.set()
        await asyncio.wait_for(task, TIMEOUT_S)


def python(name: str, code: str, *arguments: str, health: Iterable[Health] = (Health.WORKS,)) -> Part:
    """A part whose checks have these results; the last is repeated."""
    results = iter(health)
    last = Health.WORKS

    async def check() -> Health:
        nonlocal last
        last = next(results, last)
        return last

    return Part(name=name, command=(sys.executable, "-uc", code, *arguments), health=check, hangs_after_s=0.3)


WAIT = "import time; print('here', flush=True); time.sleep(600)"


async def test_lines_are_printed_and_all_parts_stop() -> None:
    async with running([[python("first", WAIT), python("second", WAIT)]]) as running_supervisor:
        await running_supervisor.prints("first: here")
        await running_supervisor.prints("second: here")
        await running_supervisor.healthy.wait()
        pids = list(running_supervisor.supervisor.sessions.values())
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not running_supervisor.supervisor.sessions


async def test_killed_part_is_restarted() -> None:
    async with running([[python("part", WAIT)]]) as running_supervisor:
        await running_supervisor.prints("part: here")
        os.kill(running_supervisor.supervisor.sessions["part"], signal.SIGKILL)
        await running_supervisor.prints("part: exited on SIGKILL; restarting in 1 s")
        await running_supervisor.prints("part: here", times=2)


async def test_part_that_does_not_answer_is_restarted() -> None:
    stopped: list[int] = []
    checks = 0

    async def health() -> Health:
        nonlocal checks
        checks += 1
        return Health.FAILS if any(map(psutil.pid_exists, stopped)) else Health.WORKS

    part = msgspec.structs.replace(python("part", WAIT), health=health)
    async with running([[part]]) as running_supervisor:
        await running_supervisor.prints("part: here")
        await eventually(lambda: checks > 2)
        stopped.append(running_supervisor.supervisor.sessions["part"])
        os.kill(stopped[0], signal.SIGSTOP)
        await running_supervisor.prints("part: has failed its health checks for 0.3 s: stopping it")
        await running_supervisor.prints("part: exited on SIGTERM; restarting in 1 s")
        await running_supervisor.prints("part: here", times=2)
    assert sum("failed" in line for line in running_supervisor.lines) == 1


@pytest.mark.parametrize("between", [Health.WORKS, Health.IMPAIRED])
async def test_part_that_answers_now_and_then_keeps_running(between: Health) -> None:
    """So does a part that reports that Postgres is missing, for however long."""
    results = iter([Health.WORKS, *[*[Health.FAILS] * (CHECKS_UNTIL_HUNG - 1), between] * 3])
    exhausted = asyncio.Event()

    async def check() -> Health:
        if (result := next(results, None)) is None:
            exhausted.set()
        return result or Health.IMPAIRED

    part = msgspec.structs.replace(python("part", WAIT), health=check)
    async with running([[part]]) as running_supervisor:
        await running_supervisor.prints("part: here")
        await asyncio.wait_for(exhausted.wait(), TIMEOUT_S)
    assert running_supervisor.lines == ["part: here"]


async def test_part_that_never_answers_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start takes long; it may have a spool to store."""
    monkeypatch.setattr(supervisor, "STARTS_WITHIN_S", 1.0)
    async with running([[python("part", WAIT, health=[Health.FAILS])]]) as running_supervisor:
        await running_supervisor.prints("part: here", times=2)


async def test_children_of_a_killed_part_are_stopped(tmp_path: Path) -> None:
    """Children can outlive a killed part, as those of Dagster's code server do."""
    child_file = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        " signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "print('here', flush=True); time.sleep(600)"
    )
    async with running([[python("part", code, str(child_file))]]) as running_supervisor:
        await running_supervisor.prints("part: here")
        child = int(child_file.read_text())
        os.kill(running_supervisor.supervisor.sessions["part"], signal.SIGKILL)
        await running_supervisor.prints("restarting in")
        assert has_exited(child)


def has_exited(pid: int) -> bool:
    """Whether a process has exited, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_wave_starts_after_the_wave_before_is_healthy() -> None:
    async with running(
        [[python("sick", WAIT, health=[Health.IMPAIRED])], [python("later", WAIT)]]
    ) as running_supervisor:
        await running_supervisor.prints("sick: here")
        assert "later" not in running_supervisor.supervisor.sessions
    assert not running_supervisor.healthy.is_set()


async def test_last_wave_stops_first() -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('ending', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here', flush=True); time.sleep(600)"
    )
    async with running([[python("base", code)], [python("top", code)]]) as running_supervisor:
        await running_supervisor.prints("top: here")
    ends = [line for line in running_supervisor.lines if "ending" in line]
    assert ends == ["top: ending", "base: ending"]


async def test_shutdown_output_can_be_muted() -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('Traceback', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here', flush=True); time.sleep(600)"
    )
    part = msgspec.structs.replace(python("part", code), shows_shutdown_output=False)
    async with running([[part]]) as running_supervisor:
        await running_supervisor.prints("part: here")
    assert running_supervisor.lines == ["part: here"]


async def test_children_of_a_part_get_sigterm_too() -> None:
    """A code server waits for its runs, which nothing else would stop."""
    code = (
        "import signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: None); print('here', flush=True)\n"
        "child.wait(); print('child ended', flush=True)"
    )
    async with running([[python("part", code)]]) as running_supervisor:
        await running_supervisor.prints("part: here")
    assert "part: child ended" in running_supervisor.lines
    assert not any("killed" in line for line in running_supervisor.lines)


async def test_very_long_line_is_dropped() -> None:
    code = "print('x' * 3_000_000); print('after', flush=True); import time; time.sleep(600)"
    async with running([[python("part", code)]]) as running_supervisor:
        await running_supervisor.prints("part: after")


@pytest.mark.parametrize(("code", "words"), [(1, "with code 1"), (-9, "on SIGKILL")])
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
