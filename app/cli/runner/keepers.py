"""Keeps running what ``coinwatch up`` needs beside its parts: the guard and the embedded Postgres."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.cli.runner.data_folder import GUARD, POSTGRES
from app.cli.runner.marks import mark
from app.cli.runner.supervisor import PrintLine, describe_exit, wait
from coinwatch.errors import CoinwatchError
from coinwatch.health.episodes import Episode
from coinwatch.settings import Settings
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.ops.disks import full_disk, read_disks

POSTGRES_CHECK_S = 2.0
POSTGRES_RETRY_S = 5.0
"""Between attempts to start it after the first: each may replay its log for a while."""
POSTGRES_SETTLED_S = 5.0
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
async def watched(server: EmbeddedPostgres, settings: Settings, print_line: PrintLine) -> AsyncIterator[None]:
    """Restart the embedded Postgres when it exits or hangs during the block; print each reason once."""
    ended = asyncio.Event()
    keeping = asyncio.create_task(_keep_postgres(server, settings, ended, print_line))
    try:
        yield
    finally:
        ended.set()
        await keeping  # not cancelled: a start in progress would go on after the block


async def _keep_postgres(
    server: EmbeddedPostgres, settings: Settings, ended: asyncio.Event, print_line: PrintLine
) -> None:
    outage = Episode(POSTGRES_SETTLED_S)

    def failed(reason: str, line: str) -> None:
        if outage.failed(reason):
            print_line(POSTGRES, line)

    wait_s = POSTGRES_CHECK_S
    while not await wait(ended, wait_s):
        wait_s = POSTGRES_CHECK_S
        if await asyncio.to_thread(server.is_running):
            if (recovery := outage.worked()) is not None:
                print_line(POSTGRES, f"ready again after {recovery.lasted_s:.0f} s")
            continue
        failed("no answer", "does not answer; starting it")
        try:
            await asyncio.to_thread(server.start)
        except CoinwatchError as error:
            wait_s = POSTGRES_RETRY_S
            disk = full_disk(await asyncio.to_thread(read_disks, settings))
            if disk is None:
                failed(str(error), str(error))
            else:
                failed("full", f"cannot start: {disk}; free space on it")
            await _end_hung(server, failed)


async def _end_hung(server: EmbeddedPostgres, failed: Callable[[str, str], None]) -> None:
    """End a server that lives, but made no progress while it was waited for."""
    try:
        if await asyncio.to_thread(server.stop):
            failed("hung", "did not answer: stopped")
    except CoinwatchError as error:
        failed(str(error), str(error))
