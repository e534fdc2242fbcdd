"""Supervises child processes: starts them in order, restarts those that exit, stops all cleanly.

Each part runs in its own session, so that Ctrl-C on the terminal reaches only the supervisor, and all
processes that a part has started can be stopped with it.
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
"""Time for a part to exit after SIGTERM before it is killed."""
RESTART_FIRST_S, RESTART_CAP_S, STABLE_AFTER_S = 1.0, 30.0, 60.0
HEALTH_EVERY_S = 0.25
LINE_LIMIT = 1 << 20

PrintLine = Callable[[str, str], None]
"""Takes the name of a part, and a line that it printed or that is about it."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the stack."""

    name: str
    command: tuple[str, ...]
    healthy: Callable[[], Awaitable[bool]]
    """Checks whether the part works. Returns within two seconds and does not raise."""
    url: str = ""
    """Address for people, empty when there is none."""
    shows_shutdown_output: bool = True
    """Whether to print its output while it stops. Dagster prints tracebacks then."""


class Supervisor:
    """Runs parts in waves: a wave starts when the wave before it is healthy.

    ``print_line`` receives every line the parts print, and events such as restarts.
    """

    def __init__(
        self, waves: Sequence[Sequence[Part]], environment: Mapping[str, str], print_line: PrintLine
    ) -> None:
        self._waves = waves
        self._environment = dict(environment)
        self._print_line = print_line
        self.sessions: dict[str, int] = {}
        """Session id of each running part, by name; also the id of its first process."""

    async def run(self, stop: asyncio.Event, on_healthy: Callable[[], None]) -> None:
        """Start all parts and run until ``stop`` is set; then stop them, last wave first.

        ``on_healthy`` is called when all parts are healthy.
        """
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
            if time.monotonic() - started > STABLE_AFTER_S:
                delay_s = RESTART_FIRST_S
            self._print_line(part.name, f"exited {describe_exit(code)}; restarting in {delay_s:.0f} s")
            await _wait(stopping, delay_s)
            delay_s = min(delay_s * 2, RESTART_CAP_S)

    async def _run_once(self, part: Part, stopping: asyncio.Event) -> int:
        # Our own pipe: with asyncio's, wait() would not return while a child of the part has it open.
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
        muted = asyncio.Event() if part.shows_shutdown_output else stopping
        relay = asyncio.create_task(self._relay(part.name, os.fdopen(read_end, "rb", 0), muted))
        try:
            exited = asyncio.create_task(process.wait())
            stop_requested = asyncio.create_task(stopping.wait())
            await asyncio.wait({exited, stop_requested}, return_when=asyncio.FIRST_COMPLETED)
            stop_requested.cancel()
            if not exited.done():
                await self._stop(part, process)
            return await exited
        finally:
            await asyncio.to_thread(end_session, process.pid)
            del self.sessions[part.name]
            await asyncio.wait({relay}, timeout=1)
            relay.cancel()

    async def _stop(self, part: Part, process: asyncio.subprocess.Process) -> None:
        # The whole session: a code server waits for its runs, which need the signal too.
        for member in _members(process.pid):
            _signal(member, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            self._print_line(part.name, f"still running {STOP_GRACE_S:.0f} s after SIGTERM: killed")
            process.kill()

    async def _relay(self, name: str, pipe: BinaryIO, muted: asyncio.Event) -> None:
        lines = asyncio.StreamReader(LINE_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), pipe
        )
        try:
            while True:
                try:
                    line = await lines.readline()
                except ValueError:  # longer than LINE_LIMIT; asyncio drops it
                    continue
                if not line:
                    return
                text = line.decode(errors="replace").rstrip()
                if text and not muted.is_set():
                    self._print_line(name, text)
        finally:
            transport.close()


def describe_exit(code: int) -> str:
    """An exit code in words: ``with code 1``, ``on SIGKILL``. Pure: no I/O."""
    return f"on {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


def end_session(session: int, grace_s: float = 3.0) -> None:
    """Stop all processes of ``session``: SIGTERM, then SIGKILL after ``grace_s``."""
    remaining = list(_members(session))
    for process in remaining:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(remaining, timeout=grace_s) if remaining else ([], [])
    for process in alive:
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
        return  # exited meanwhile


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
