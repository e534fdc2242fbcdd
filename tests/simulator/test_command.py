"""``coinwatch simulate`` as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT
from tests.waiting import eventually
from warehouse.embedded.ports import free_port


async def start(ws_port: int, rest_port: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "coinwatch"), "simulate"),
        cwd=PROJECT,
        env={
            **os.environ,
            "COINWATCH_SIMULATOR_WS_PORT": str(ws_port),
            "COINWATCH_SIMULATOR_REST_PORT": str(rest_port),
            "COINWATCH_LOG_FORMAT": "json",
        },
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_serves_until_a_signal(ending: signal.Signals) -> None:
    rest_port = free_port()
    process = await start(free_port(), rest_port)
    async with httpx.AsyncClient(trust_env=False) as http:

        async def up() -> bool:
            url = f"http://127.0.0.1:{rest_port}/binance/api/v3/ping"
            return (await http.get(url)).is_success

        await eventually(up, timeout_s=90)
        process.send_signal(ending)
        _, output = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0
    assert output.decode().count("\n") == 1
    assert f":{rest_port}" in output.decode()


async def test_a_busy_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start(port, free_port())
        _, output = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 1
    (line,) = output.decode().splitlines()
    assert str(port) in line
    assert "COINWATCH_SIMULATOR_WS_PORT" in line
