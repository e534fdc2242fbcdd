"""Websocket frames as bytes, and a client they are written to without waiting."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

MOST_UNSENT_BYTES: Final = 4 << 20
"""A client that lets more than this pile up is cut off."""


def text_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked text frame, as servers send them."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


class Client:
    """One connection. Frames made once are written to many of these."""

    def __init__(self, exchange: str, connection: ServerConnection, silent: set[str]) -> None:
        self.exchange = exchange
        self._connection = connection
        self._silent = silent
        self.written_s = time.monotonic()
        """When something was last written, on the monotonic clock."""

    def send(self, payloads: Iterable[bytes]) -> None:
        """Write each payload as a text frame."""
        self.write(b"".join(map(text_frame, payloads)))

    def write(self, frames: bytes) -> None:
        """Write ready frames; cuts the connection when the client is too slow."""
        transport = self._connection.transport
        gone = self._connection.state is not State.OPEN or transport.is_closing()
        if not frames or gone or self.exchange in self._silent:
            return
        transport.write(frames)
        self.written_s = time.monotonic()
        if transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.cut()

    def cut(self) -> None:
        """End the connection without a closing handshake, as a network failure does."""
        self._connection.transport.abort()
