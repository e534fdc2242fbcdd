"""Keeps running what ``coinwatch up`` needs beside its parts: the guard and the embedded Postgres."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.cli.runner.data_folder import GUARD, POSTGRES
from app.cli.runner.marks import mark
from app.cli.runner.supervisor import PrintLine, describe_exit, wait
from coinwatch.errors import CoinwatchError
from warehouse.embedded.server import EmbeddedPostgres

POSTGRES_CHECK_S = 2.0
GUARD_RESTART_S = 1.0


@asynccontextmanager
async def guarded(
    folder: Path, run: str, environment: Mapping[str, str], print_line: PrintLine
) -> AsyncIterator[None]:
    """Keep a guard of the run running during the block; see ``guard``."""
    keeping = asyncio.create_task(_keep_guard(folder, run, environment, print_line))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep_guard(folder: Path, run: str, environment: Mapping[str, str], print_line: PrintLine) -> None:
    while True:
        try:
            how = describe_exit(await _run_guard(folder, run, environment))
            print_line(GUARD, f"exited {how}; restarting in {GUARD_RESTART_S:.0f} s")
        except OSError as error:
            print_line(GUARD, f"could not be started: {error}")
        await asyncio.sleep(GUARD_RESTART_S)


async def _run_guard(folder: Path, run: str, environment: Mapping[str, str]) -> int:
    """Run a guard until it exits, or end it when cancelled."""
    # The write end is ours alone: it is closed in every program that we start.
    read_end, write_end = os.pipe()
    try:
        try:
            guard = await asyncio.create_subprocess_exec(
                # -P: a folder `app` where `up` was started is not our package.
                *(sys.executable, "-P", "-m", "app.cli.runner.guard", str(folder), run),
                env={**environment, **mark(run, GUARD)},
                stdin=read_end,
                start_new_session=True,
            )
        finally:
            os.close(read_end)
        try:
            return await guard.wait()
        finally:
            if guard.returncode is None:
                guard.kill()
                await guard.wait()
    finally:
        os.close(write_end)


@asynccontextmanager
async def watched(server: EmbeddedPostgres, print_line: PrintLine) -> AsyncIterator[None]:
    """Restart the embedded Postgres when it exits or hangs during the block."""
    ended = asyncio.Event()
    keeping = asyncio.create_task(_keep_postgres(server, ended, print_line))
    try:
        yield
    finally:
        ended.set()
        await keeping  # not cancelled: a start in progress would go on after the block


async def _keep_postgres(server: EmbeddedPostgres, ended: asyncio.Event, print_line: PrintLine) -> None:
    while not await wait(ended, POSTGRES_CHECK_S):
        if await asyncio.to_thread(server.is_running):
            continue
        print_line(POSTGRES, "does not answer; starting it")
        try:
            await asyncio.to_thread(server.start)
            print_line(POSTGRES, "ready")
        except CoinwatchError as error:
            print_line(POSTGRES, str(error))
            await _end_hung(server, print_line)


async def _end_hung(server: EmbeddedPostgres, print_line: PrintLine) -> None:
    """End a server that lives, but made no progress while it was waited for."""
    try:
        if await asyncio.to_thread(server.stop):
            print_line(POSTGRES, "did not answer: stopped")
    except CoinwatchError as error:
        print_line(POSTGRES, str(error))
