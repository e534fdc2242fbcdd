"""Faults that tests can inject. The same seed affects the same frames."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import msgspec

from simulator.exchanges.base import Answer

LATEST_S: Final = 0.5
"""The longest delay of a reordered frame."""

_SAMPLES: Final = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"channel":"trade","type":"update","data":[{"symbol":7}]}',
    b'{"type":"match","trade_id":"x","price":"-1","size":"nan"}',
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","p":"1e999","q":""}}',
    b"\xc3\xa9" * 40,
    b"[" * 5_000,
)


class RestFault(msgspec.Struct):
    """Pending failures of REST answers."""

    status: int
    left: int
    retry_after_s: float | None

    def answer(self) -> Answer:
        headers = {} if self.retry_after_s is None else {"retry-after": f"{self.retry_after_s:g}"}
        return Answer(b'{"message":"simulated failure"}', self.status, headers)


class RestFaults:
    """Random failures of the REST answers of one exchange or provider."""

    def __init__(self, seed: int, name: str, share: float) -> None:
        self._share = share
        self._source = random.Random(f"{seed} {name} rest")

    def fate(self, answer: Answer) -> Answer:
        """The answer itself, or a failure in place of it."""
        if self._source.random() >= self._share:
            return answer
        return self._source.choice(
            (
                RestFault(503, 1, None).answer(),
                RestFault(429, 1, 1.0).answer(),
                Answer(answer.body[: len(answer.body) // 2], answer.status, answer.headers),
                Answer(b"<html><body>502 Bad Gateway</body></html>", 200, {"content-type": "text/html"}),
                Answer(b"", 200),
            )
        )


class StreamFaults:
    """Faults of the trade frames of one exchange, as shares of all frames from 0 to 1."""

    def __init__(self, seed: int, exchange: str) -> None:
        self.garbage = 0.0
        """Share followed by a corrupt frame."""
        self.duplicated = 0.0
        """Share sent twice."""
        self.reordered = 0.0
        """Share sent after later frames."""
        self.dropped = 0.0
        """Share never sent."""
        self.delay_s = 0.0
        self._source = random.Random(f"{seed} {exchange}")

    def fate(self, frames: Sequence[bytes]) -> list[tuple[float, bytes]]:
        """The frames to send in place of ``frames``, each with a delay in seconds."""
        source, sent = self._source, []
        for frame in frames:
            if source.random() < self.garbage:
                sent.append((self.delay_s, self._damaged(frame)))
            if source.random() < self.dropped:
                continue
            out_of_turn = source.random() < self.reordered
            late_s = LATEST_S * source.random() ** 3 if out_of_turn else 0.0  # most just after the next
            sent.append((self.delay_s + late_s, frame))
            if source.random() < self.duplicated:
                sent.append((self.delay_s + late_s, frame))
        return sent

    def _damaged(self, frame: bytes) -> bytes:
        """A truncated frame or junk, but never one that decodes to another trade."""
        if self._source.random() < 0.5:
            return frame[: self._source.randrange(len(frame))]
        return self._source.choice(_SAMPLES)


def garbage(seed: int, count: int) -> list[bytes]:
    """``count`` junk frames, the same for the same seed."""
    source = random.Random(seed)
    return [source.choice(_SAMPLES) for _ in range(count)]
