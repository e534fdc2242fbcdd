"""Websocket frames as bytes, and a client they are written to without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

MOST_UNSENT_BYTES: Final = 4 << 20
"""A client that lets more than this pile up is cut off."""


_CLOSE_FRAME: Final = b"\x88\x02" + (1_001).to_bytes(2, "big")

Framing = Callable[[bytes], bytes]
"""Makes a payload one unmasked frame, as servers send them."""


def text_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked text frame."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked binary frame."""
    return _frame(0x82, payload)


def framing(*, binary: bool) -> Framing:
    """How a venue frames what it sends: all as text, or JSON objects as text and the rest as binary."""
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
    """One connection. Frames made once are written to many of these."""

    def __init__(
        self, exchange: str, connection: ServerConnection, silent: set[str], framing: Framing
    ) -> None:
        self.exchange = exchange
        self.framing = framing
        self._connection = connection
        self._silent = silent
        self.opened_s = time.monotonic()
        self.written_s = self.opened_s
        """When something was last written, on the monotonic clock."""

    def send(self, payloads: Iterable[bytes]) -> None:
        """Write each payload as a frame."""
        self.write(b"".join(map(self.framing, payloads)))

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

    def close(self) -> None:
        """End the connection politely, as an exchange does."""
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(_CLOSE_FRAME)
            transport.close()
