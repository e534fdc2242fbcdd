"""A real HTTP server that sends scripted answers byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SILENCE = b""
"""An answer that never comes."""


class ScriptedServer:
    """Gives the answers in turn, the last one again and again; one request a connection."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.root = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.split(b" ")[1].decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is SILENCE:
                await reader.read()  # until the client goes away
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def answer(body: str | bytes, status: int = 200, *, length: int | None = None, **headers: str) -> bytes:
    """An HTTP answer; ``retry_after="1"`` becomes ``Retry-After: 1``."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(raw) if length is None else length}",
        "Connection: close",
    ]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await server.wait_closed()
