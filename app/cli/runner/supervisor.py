"""Keeps a set of child processes running: starts them in order, restarts what dies, ends all cleanly.

Each part runs in a session of its own, so that a Ctrl-C on the terminal reaches only the
supervisor, and so that everything a part has started can be found and ended with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

import msgspec
import psutil

STOP_GRACE_S = 10.0
"""How long a part may take to end by itself before it is killed."""
RESTART_FIRST_S, RESTART_CAP_S, HEALTHY_SPELL_S = 1.0, 30.0, 60.0
HEALTH_EVERY_S = 0.25
LINE_LIMIT = 1 << 20

Say = Callable[[str, str], None]
"""Takes the name of a part and one line about it or from it."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One program of the stack."""

    name: str
    command: tuple[str, ...]
    healthy: Callable[[], Awaitable[bool]]
    """Whether it does its work; must answer within a second or two and not raise."""
    url: str = ""
    """Where a person finds it."""
    last_words: bool = True
    """Whether what it prints while it is being stopped is of use; Dagster prints tracebacks."""


class Supervisor:
    """Runs parts in waves until told to stop: a wave starts when the one before it is healthy.

    ``say`` gets every line the parts print and what happens to them.
    """

    def __init__(self, waves: Sequence[Sequence[Part]], environment: Mapping[str, str], say: Say) -> None:
        self._waves = waves
        self._environment = dict(environment)
        self._say = say
        self.sessions: dict[str, int] = {}
        """The session (and first process) of each running part, by name."""

    async def run(self, stop: asyncio.Event, on_healthy: Callable[[], None]) -> None:
        """Start all, call ``on_healthy`` when all are, and after ``stop`` end them, last wave first."""
        started: list[tuple[asyncio.Event, list[asyncio.Task[None]]]] = []
        async with asyncio.TaskGroup() as tasks:

            async def start() -> None:
                for wave in self._waves:
                    stopping = asyncio.Event()
                    keepers = [tasks.create_task(self._keep(part, stopping)) for part in wave]
                    started.append((stopping, keepers))
                    await asyncio.gather(*(self._until_healthy(part) for part in wave))
                on_healthy()

            starting = tasks.create_task(start())
            await stop.wait()
            starting.cancel()
            for stopping, keepers in reversed(started):
                stopping.set()
                await asyncio.wait(keepers)

    async def _until_healthy(self, part: Part) -> None:
        while not (part.name in self.sessions and await part.healthy()):  # noqa: ASYNC110  # another process
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _keep(self, part: Part, stopping: asyncio.Event) -> None:
        delay_s = RESTART_FIRST_S
        while not stopping.is_set():
            started = time.monotonic()
            code = await self._run_once(part, stopping)
            if stopping.is_set():
                return
            if time.monotonic() - started > HEALTHY_SPELL_S:
                delay_s = RESTART_FIRST_S
            self._say(part.name, f"ended {describe_exit(code)}; starting it again in {delay_s:.0f} s")
            await _wait(stopping, delay_s)
            delay_s = min(delay_s * 2, RESTART_CAP_S)

    async def _run_once(self, part: Part, stopping: asyncio.Event) -> int:
        # A pipe of our own: asyncio's would keep wait() from returning while a child of the dead
        # part still holds the other end.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        self.sessions[part.name] = process.pid
        hushed = stopping if not part.last_words else asyncio.Event()
        relay = asyncio.create_task(self._relay(part.name, os.fdopen(read_end, "rb", 0), hushed))
        try:
            ended = asyncio.create_task(process.wait())
            told = asyncio.create_task(stopping.wait())
            await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if not ended.done():
                await self._stop(part, process)
            return await ended
        finally:
            await asyncio.to_thread(end_session, process.pid)
            del self.sessions[part.name]
            await asyncio.wait({relay}, timeout=1)
            relay.cancel()

    async def _stop(self, part: Part, process: asyncio.subprocess.Process) -> None:
        # All of the session at once: a code server waits for its runs, and they have to be told as well.
        for member in _members(process.pid):
            _signal(member, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            self._say(part.name, f"still running {STOP_GRACE_S:.0f} s after being asked to stop: killed")
            process.kill()

    async def _relay(self, name: str, pipe: BinaryIO, hushed: asyncio.Event) -> None:
        lines = asyncio.StreamReader(LINE_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), pipe
        )
        try:
            while True:
                try:
                    line = await lines.readline()
                except ValueError:  # longer than LINE_LIMIT: asyncio has dropped it
                    continue
                if not line:
                    return
                text = line.decode(errors="replace").rstrip()
                if text and not hushed.is_set():
                    self._say(name, text)
        finally:
            transport.close()


def describe_exit(code: int) -> str:
    """An exit code in words: ``with code 1``, ``by SIGKILL``."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


def end_session(session: int, grace_s: float = 3.0) -> None:
    """End whatever is left of ``session``: TERM, and KILL for those that stay."""
    left = list(_members(session))
    for process in left:
        _signal(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=grace_s) if left else ([], [])
    for process in stubborn:
        _signal(process, signal.SIGKILL)


def _members(session: int) -> Iterable[psutil.Process]:
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session:
                yield psutil.Process(pid)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
