"""The processes of a ``coinwatch up``, recognised by a variable in their environment.

Children inherit the variable, so that it marks whatever a part has started, in any session. It holds a
random id of the run: a pid that another program uses by now is never taken for one of ours, nor is a program
that a person or systemd has started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

import psutil

from coinwatch.errors import CoinwatchError

VARIABLE = "COINWATCH_PART"
STOP_GRACE_S = 10.0
"""Time for processes to exit after SIGTERM before they are killed, and again after that."""
_POLL_S = 0.1


def mark(run: str, part: str) -> Mapping[str, str]:
    """The variable that marks the processes of a part."""
    return {VARIABLE: f"{run}/{part}"}


def processes(run: str) -> Iterator[tuple[psutil.Process, str]]:
    """The processes of a run but this one, each with the name of its part."""
    for process in psutil.process_iter():
        try:
            owner, _, part = process.environ().get(VARIABLE, "").partition("/")
        except psutil.Error:  # it has ended, or is another user's
            continue
        if owner == run and process.pid != os.getpid():
            yield process, part


def parts_of(run: str) -> set[str]:
    """The names of the parts of which a process lives."""
    return {part for _, part in processes(run)}


def end(run: str) -> set[str]:
    """End all processes of a run but this one: SIGTERM, then SIGKILL after a grace period.

    Returns:
        The names of their parts.

    Raises:
        CoinwatchError: A process does not end, or is another user's.
    """
    ended: set[str] = set()
    asked: set[psutil.Process] = set()
    kill_at = time.monotonic() + STOP_GRACE_S
    # Until a scan finds none: a process may have started another meanwhile.
    while left := list(processes(run)):
        for process, part in left:
            ended.add(part)
            if time.monotonic() > kill_at:
                _signal(process, kill=True)
            elif process not in asked:
                _signal(process, kill=False)
                asked.add(process)
        if time.monotonic() > kill_at + STOP_GRACE_S:
            pids = ", ".join(f"{part} (pid {process.pid})" for process, part in left)
            raise CoinwatchError(f"processes of a killed `coinwatch up` do not end on SIGKILL: {pids}")
        time.sleep(_POLL_S)
    return ended


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
            process.resume()  # a process stopped by SIGSTOP acts on no other signal
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise CoinwatchError(
            f"process {process.pid} is another user's: end it as that user or as root"
        ) from error
