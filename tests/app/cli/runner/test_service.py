"""Signals of long-running commands, also where SIGINT was ignored at start."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

from app.cli.runner.service import stop_signals

FOLLOW = """
import asyncio
from contextlib import suppress
from app.cli.runner.service import cancel_when_signalled

async def follow():
    cancel_when_signalled()
    print("ready", flush=True)
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(600)
    print("stopped", flush=True)

asyncio.run(follow())
"""
SERVE = """
from app.cli.runner.service import run_until_signalled

async def serve(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopped", flush=True)

run_until_signalled(serve)
"""


@pytest.mark.parametrize(("handler", "stops"), [(signal.SIG_IGN, False), (signal.SIG_DFL, True)])
def test_closed_terminal_stops_the_stack_except_with_nohup(handler: signal.Handlers, stops: bool) -> None:
    previous = signal.signal(signal.SIGHUP, handler)
    try:
        assert (signal.SIGHUP in stop_signals()) == stops
    finally:
        signal.signal(signal.SIGHUP, previous)


@pytest.mark.parametrize("code", [FOLLOW, SERVE], ids=["follow", "serve"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_stops_also_where_sigint_was_ignored(code: str, number: signal.Signals) -> None:
    """As with ``nohup``, from ``cron`` and after ``&`` in a script."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", 'trap "" INT; exec "$@"', "bash", sys.executable, "-c", code), stdout=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"stopped\n")
