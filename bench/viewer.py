"""A viewer of the dashboard without a browser: speaks Streamlit's own websocket, as its front end does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

PATIENCE_S = 60.0
RUN_OVER = (
    ForwardMsg.FINISHED_SUCCESSFULLY,
    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
    ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
)


class Viewer:
    """One session. ``fragments`` are the parts of the page that ask to be run again, and how often."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.fragments: dict[str, float] = {}
        self.received_bytes = 0

    async def open(self, page: str, query: str = "") -> float:
        """Run the whole page; returns the seconds until it is drawn."""
        self.fragments.clear()
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.context_info.timezone = "UTC"
        return await self._run(message)

    async def tick(self, fragment_id: str) -> float:
        """Run one part again; returns the seconds until it is drawn."""
        message = BackMsg()
        message.rerun_script.fragment_id = fragment_id
        message.rerun_script.is_auto_rerun = True
        message.rerun_script.context_info.timezone = "UTC"
        return await self._run(message)

    async def _run(self, message: BackMsg) -> float:
        began = time.perf_counter()
        await self._connection.send(message.SerializeToString())
        async with asyncio.timeout(PATIENCE_S):
            while True:
                data = await self._connection.recv()
                self.received_bytes += len(data)
                answer = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
                kind = answer.WhichOneof("type")
                if kind == "auto_rerun":
                    self.fragments[answer.auto_rerun.fragment_id] = answer.auto_rerun.interval
                elif kind == "script_finished" and answer.script_finished in RUN_OVER:
                    return time.perf_counter() - began


@asynccontextmanager
async def viewer(port: int) -> AsyncIterator[Viewer]:
    """Open a session with the dashboard on ``port``."""
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        origin=Origin(f"http://127.0.0.1:{port}"),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        compression=None,
    ) as connection:
        yield Viewer(connection)
