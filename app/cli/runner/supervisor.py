"""Supervises child processes: starts them in order, restarts those that exit or hang, stops all cleanly.

Each part runs in its own session, so that Ctrl-C on the terminal reaches only the supervisor, and all
processes that a part has started can be stopped with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

import msgspec
import psutil

from app.cli.runner.health import Check, Health
from app.cli.runner.marks import mark

STOP_GRACE_S = 10.0
"""Time for a part to exit after SIGTERM before it is killed."""
RESTART_FIRST_S, RESTART_CAP_S, STABLE_AFTER_S = 1.0, 30.0, 60.0
HEALTH_EVERY_S = 0.25
CHECKS_UNTIL_HUNG = 6
"""A single failed check means little on a busy machine: a part hangs when this many in a row fail."""
STARTS_WITHIN_S = 600.0
"""How long a part may fail its checks before the first that it passes: it may have a spool to store."""
LINE_LIMIT = 1 << 20

PrintLine = Callable[[str, str], None]
"""Takes the name of a part, and a line that it printed or that is about it."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the stack."""

    name: str
    command: tuple[str, ...]
    health: Check
    hangs_after_s: float
    """The part is restarted when its checks have failed for this long."""
    url: str = ""
    """Address for people, empty when there is none."""
    shows_shutdown_output: bool = True
    """Whether to print its output while it stops. Dagster prints tracebacks then."""


class Supervisor:
    """Runs parts in waves: a wave starts when the wave before it is healthy.

    Args:
        waves: The parts.
        environment: Variables of all parts.
        run: The run of ``coinwatch up`` that the parts belong to; see ``marks``.
        print_line: Receives every line the parts print, and events such as restarts.
    """

    def __init__(
        self,
        waves: Sequence[Sequence[Part]],
        environment: Mapping[str, str],
        run: str,
        print_line: PrintLine,
    ) -> None:
        self._waves = waves
        self._environment = dict(environment)
        self._run = run
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
        while part.name not in self.sessions or await part.health() is not Health.WORKS:  # noqa: ASYNC110
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _until_hung(self, part: Part) -> None:
        """Return when the part has failed its checks for too long."""
        every_s = part.hangs_after_s / CHECKS_UNTIL_HUNG
        checks_left = round(STARTS_WITHIN_S / every_s)
        # Checks are counted, not seconds: while this process does not run, no check fails.
        while checks_left > 0:
            await asyncio.sleep(every_s)
            if await part.health() is Health.FAILS:
                checks_left -= 1
            else:
                checks_left = CHECKS_UNTIL_HUNG

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
            await wait(stopping, delay_s)
            delay_s = min(delay_s * 2, RESTART_CAP_S)

    async def _run_once(self, part: Part, stopping: asyncio.Event) -> int:
        # Our own pipe: with asyncio's, wait() would not return while a child of the part has it open.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                env={**self._environment, **mark(self._run, part.name)},
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
            hung = asyncio.create_task(self._until_hung(part))
            await asyncio.wait({exited, stop_requested, hung}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                if hung.done() and not stop_requested.done():
                    self._print_line(
                        part.name, f"has failed its health checks for {part.hangs_after_s:g} s: stopping it"
                    )
                await self._stop(part, process)
            stop_requested.cancel()
            hung.cancel()
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
            _signal(member, signal.SIGCONT)  # a process stopped by SIGSTOP acts on no other signal
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


async def wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event. Returns whether it was set in time."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
