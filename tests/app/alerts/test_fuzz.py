"""A running endpoint is sent all kinds of invalid input: each frame is answered, and nothing grows."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.app.alerts.conftest import Endpoint, Exchange, check
from tests.app.alerts.fuzzing import Fuzzer, Sent
from tests.app.alerts.test_commands import COINWATCH, Environment, environment
from tests.waiting import eventually
from warehouse.embedded.ports import free_port

__all__ = ["environment"]

log = logging.getLogger(__name__)

CLIENTS = 8
AT_ONCE = 25
FRAMES_A_CONNECTION = 1_000
"""Then it comes again, under another name or none."""
MAY_GROW_BYTES = 24 * 1024 * 1024
"""From a quarter on. Seen over 150,000 frames: 3 MB; a leak of 0.2 kB a frame would be 30."""
RAISED = {
    "COINWATCH_ALERTS_COMMANDS_PER_S": "1000000",
    "COINWATCH_ALERTS_WATCHES": "40",
    "COINWATCH_LOG_LEVEL": "warning",
}


@pytest.mark.parametrize(
    "count",
    [4_000, pytest.param(200_000, marks=[pytest.mark.proof, pytest.mark.timeout(3_600)])],
)
async def test_invalid_frames_are_answered(
    environment: Environment, exchange: Exchange, tmp_path: Path, count: int
) -> None:
    async with running(environment, tmp_path / "log") as (endpoint, process):
        numbers = itertools.count()
        sizes: dict[int, int] = {}

        def left() -> bool:
            number = next(numbers)
            if number % max(1, count // 20) == 0:
                sizes[number] = process.memory_info().rss
            return number < count

        began_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for seed in range(CLIENTS):
                tasks.create_task(talk(endpoint, seed, iter(left, False)))
        took_s = time.monotonic() - began_s
        shown = ", ".join(f"{size / 1e6:.0f}" for size in sizes.values())
        log.info(f"{count:,} frames in {took_s:.0f} s; MB: {shown}")
        assert await endpoint.healthy()
        assert process.is_running()
        quarter = max(size for number, size in sizes.items() if number <= count // 4)
        assert process.memory_info().rss - quarter < MAY_GROW_BYTES


@asynccontextmanager
async def running(
    environment: Environment, output: Path, settings: Mapping[str, str] = RAISED
) -> AsyncIterator[tuple[Endpoint, psutil.Process]]:
    endpoint = Endpoint(free_port())
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(*COINWATCH, "alerts"), env={**environment(endpoint.port), **settings}, stdout=file, stderr=file
        )
        try:
            await eventually(endpoint.healthy, timeout_s=90)
            yield endpoint, psutil.Process(process.pid)
        finally:
            process.terminate()
            await process.wait()
            assert not faults(output)
    assert process.returncode == 0


def faults(output: Path) -> str:
    """What the endpoint text, if there is an unhandled exception in it."""
    text = output.read_text()
    return text[-10_000:] if "Traceback" in text or '"level": "error"' in text else ""


async def talk(endpoint: Endpoint, seed: int, more: Iterator[bool]) -> None:
    fuzzer = Fuzzer(seed)
    for number in itertools.count():
        query = f"?client=fuzz-{seed}" if number % 3 == 2 else ""
        async with connect(endpoint.url + query, close_timeout=5) as socket:
            for _ in range(FRAMES_A_CONNECTION // AT_ONCE):
                batch = [fuzzer.next() for _ in itertools.islice(more, AT_ONCE)]
                if not batch:
                    return
                if not await hold(socket, batch):
                    break


async def hold(socket: ClientConnection, batch: list[Sent]) -> bool:
    """Send all at once and read what comes of it; whether the connection continues."""
    try:
        for sent in batch:
            await socket.send(sent.frame, text=sent.as_text)
    except ConnectionClosed:
        pass  # by one of them, as is seen below
    for sent in batch:
        try:
            async with asyncio.timeout(100):
                frame = json.loads(await socket.recv())
        except ConnectionClosed:
            expected = {socket.close_code for socket in batch} - {None}
            # On a busy engine the connection may be cut before its code is read.
            assert expected, (socket.close_code, socket.close_reason)
            assert socket.close_code in {*expected, 1006}, socket.close_reason
            return False
        assert sent.close_code is None, (sent, frame)
        check("frame", frame)
        assert frame["type"] in ("ack", "error"), frame
        assert sent.id in (..., frame["id"]), (sent, frame)
        if frame["type"] == "error":
            assert frame["code"]
            assert frame["message"]
            assert frame["hint"]
    return True
