"""The supervisor against real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from app.cli.runner.supervisor import Part, Supervisor, describe_exit

PATIENCE_S = 90.0


class Stage:
    """A supervisor under test with what it said, and events to wait on."""

    def __init__(self, waves: list[list[Part]]) -> None:
        self.lines: list[str] = []
        self.heard = asyncio.Condition()
        self.stop = asyncio.Event()
        self.healthy = asyncio.Event()
        self.supervisor = Supervisor(waves, os.environ, self.say)

    def say(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")
        asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self.heard:
            self.heard.notify_all()

    async def hears(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S), self.heard:
            await self.heard.wait_for(lambda: sum(text in line for line in self.lines) >= times)


@asynccontextmanager
async def running(waves: list[list[Part]]) -> AsyncIterator[Stage]:
    stage = Stage(waves)
    task = asyncio.create_task(stage.supervisor.run(stage.stop, stage.healthy.set))
    try:
        yield stage
    finally:
        stage.stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


def python(name: str, code: str, *arguments: str, healthy: bool = True) -> Part:
    async def answer() -> bool:
        return healthy

    return Part(name=name, command=(sys.executable, "-uc", code, *arguments), healthy=answer)


WAITS = "import time; print('here', flush=True); time.sleep(600)"


async def test_lines_are_passed_on_and_all_ends() -> None:
    async with running([[python("one", WAITS), python("two", WAITS)]]) as stage:
        await stage.hears("one: here")
        await stage.hears("two: here")
        await stage.healthy.wait()
        pids = list(stage.supervisor.sessions.values())
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not stage.supervisor.sessions


async def test_a_part_that_dies_is_started_again_and_named() -> None:
    async with running([[python("part", WAITS)]]) as stage:
        await stage.hears("part: here")
        os.kill(stage.supervisor.sessions["part"], signal.SIGKILL)
        await stage.hears("part: ended by SIGKILL; starting it again in 1 s")
        await stage.hears("part: here", times=2)


async def test_what_a_part_started_goes_with_it(tmp_path: Path) -> None:
    """Children that outlive a killed part (Dagster's code servers do) are ended too."""
    child_file = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        " signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "print('here', flush=True); time.sleep(600)"
    )
    async with running([[python("part", code, str(child_file))]]) as stage:
        await stage.hears("part: here")
        child = int(child_file.read_text())
        os.kill(stage.supervisor.sessions["part"], signal.SIGKILL)
        await stage.hears("starting it again")
        assert _has_ended(child)


def _has_ended(pid: int) -> bool:
    """One that nobody has buried yet has ended, too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_wave_waits_for_the_one_before() -> None:
    async with running([[python("sick", WAITS, healthy=False)], [python("later", WAITS)]]) as stage:
        await stage.hears("sick: here")
        assert "later" not in stage.supervisor.sessions
    assert not stage.healthy.is_set()


async def test_the_last_wave_ends_first() -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('ending', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here', flush=True); time.sleep(600)"
    )
    async with running([[python("base", code)], [python("top", code)]]) as stage:
        await stage.hears("top: here")
    ends = [line for line in stage.lines if "ending" in line]
    assert ends == ["top: ending", "base: ending"]


async def test_last_words_that_are_of_no_use_are_not_passed_on() -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('Traceback', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here', flush=True); time.sleep(600)"
    )
    part = msgspec.structs.replace(python("part", code), last_words=False)
    async with running([[part]]) as stage:
        await stage.hears("part: here")
    assert stage.lines == ["part: here"]


async def test_what_a_part_started_is_asked_to_stop_with_it() -> None:
    """A code server waits for its runs, which nobody else would tell."""
    code = (
        "import signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: None); print('here', flush=True)\n"
        "child.wait(); print('child ended', flush=True)"
    )
    async with running([[python("part", code)]]) as stage:
        await stage.hears("part: here")
    assert "part: child ended" in stage.lines
    assert not any("killed" in line for line in stage.lines)


async def test_a_very_long_line_does_not_stop_the_rest() -> None:
    code = "print('x' * 3_000_000); print('after', flush=True); import time; time.sleep(600)"
    async with running([[python("part", code)]]) as stage:
        await stage.hears("part: after")


@pytest.mark.parametrize(("code", "words"), [(1, "with code 1"), (-9, "by SIGKILL")])
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
