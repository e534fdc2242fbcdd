"""Websocket frames as bytes, and a client connection written to without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

MOST_UNSENT_BYTES: Final = 4 << 20
"""A client with a larger backlog is disconnected."""


_CLOSE_FRAME: Final = b"\x88\x02" + (1_001).to_bytes(2, "big")

Framing = Callable[[bytes], bytes]
"""Encodes a payload as one unmasked frame, as servers send."""


def text_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked text frame."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked binary frame."""
    return _frame(0x82, payload)


def framing(*, binary: bool) -> Framing:
    """The framing of an exchange: text only, or JSON objects as text and the rest as binary."""
    return _mixed_frame if binary else text_frame


def _mixed_frame(payload: bytes) -> bytes:
    return text_frame(payload) if payload.startswith(b"{") else binary_frame(payload)


def _frame(opening: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((opening, length)) + payload
    if length < 65_536:
        return bytes((opening, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opening, 127)) + length.to_bytes(8, "big") + payload


class Client:
    """One client connection; encoded frames are shared between connections."""

    def __init__(
        self, exchange: str, connection: ServerConnection, silent: set[str], framing: Framing
    ) -> None:
        self.exchange = exchange
        self.framing = framing
        self._connection = connection
        self._silent = silent
        self.opened_s = time.monotonic()
        self.written_s = self.opened_s
        """The monotonic time of the last write."""

    def send(self, payloads: Iterable[bytes]) -> None:
        """Write each payload as a frame."""
        self.write(b"".join(map(self.framing, payloads)))

    def write(self, frames: bytes) -> None:
        """Write encoded frames; disconnects a client that is too slow."""
        transport = self._connection.transport
        gone = self._connection.state is not State.OPEN or transport.is_closing()
        if not frames or gone or self.exchange in self._silent:
            return
        transport.write(frames)
        self.written_s = time.monotonic()
        if transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.cut()

    def cut(self) -> None:
        """Cut the connection without a closing handshake, as a network failure does."""
        self._connection.transport.abort()

    def close(self) -> None:
        """Close the connection with a closing handshake, as an exchange does."""
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(_CLOSE_FRAME)
            transport.close()
