"""Signals of long-running commands: SIGINT (Ctrl-C) and SIGTERM stop them cleanly.

Both are handled also where SIGINT was ignored at start, as it is for ``nohup``, ``cron`` and ``&`` in a
script: a program that a supervisor or a person interrupts explicitly must stop.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop the stack: also SIGHUP (closed terminal), unless it was ignored (``nohup``)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return _STOPPING
    return (*_STOPPING, signal.SIGHUP)


def run_until_signalled(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run a service: SIGINT or SIGTERM sets the event given to ``work``; a second one exits at once."""
    uvloop.run(_run(work))


def cancel_when_signalled() -> None:
    """Cancel the running task on SIGINT or SIGTERM: for commands that follow a stream."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # callers run in a task
    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _run(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await work(stop)
