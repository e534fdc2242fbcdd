"""A stand-in exchange that sends exactly what a test scripts, over a real websocket."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

Script = Callable[["Session"], Awaitable[None]]


class Session:
    """One connection of a client. A script runs in it; when it returns, the socket stays open."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        """How many connections this exchange had before."""

    async def subscription(self) -> str:
        """The next frame the client sends."""
        return str(await self.connection.recv())

    async def send(self, *frames: str | bytes) -> None:
        for frame in frames:
            await self.connection.send(frame)


class Replay:
    """Serves a script for each exchange at ``/<exchange>…``."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.connections: defaultdict[str, int] = defaultdict(int)
        self.url = ""

    def settings(self) -> dict[str, str]:
        """Settings that point every scripted exchange here. No server is behind their REST roots."""
        sockets = {f"{exchange}_ws_url": f"{self.url}/{exchange}" for exchange in self.scripts}
        return sockets | {f"{exchange}_rest_url": "http://127.0.0.1:9" for exchange in self.scripts}

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        exchange = connection.request.path.strip("/").partition("/")[0]
        session = Session(connection, self.connections[exchange])
        self.connections[exchange] += 1
        await self.scripts[exchange](session)
        await connection.wait_closed()


@asynccontextmanager
async def replaying(**scripts: Script) -> AsyncIterator[Replay]:
    replay = Replay()
    replay.scripts = scripts
    async with serve(replay.handle, "127.0.0.1", 0, max_queue=None, compression=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        replay.url = f"ws://{host}:{port}"
        yield replay
        for connection in server.connections:
            connection.transport.abort()
        await asyncio.sleep(0)
