"""A stand-in for a server, whose answers arrive as a stream, like those of a real one."""

from __future__ import annotations

import httpx


class Answering(httpx.MockTransport):
    """Answers requests by a function, without a network."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content)
        )
