"""What a test can break on purpose. The same seed breaks the same frames."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import msgspec

from simulator.exchanges.base import Answer

LATEST_S: Final = 0.5
"""A frame that is sent out of its turn comes no later than this."""

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
    """REST answers that will be failures."""

    status: int
    left: int
    retry_after_s: float | None

    def answer(self) -> Answer:
        headers = {} if self.retry_after_s is None else {"retry-after": f"{self.retry_after_s:g}"}
        return Answer(b'{"message":"simulated failure"}', self.status, headers)


class RestFaults:
    """What becomes of the REST answers of one exchange or provider: a share of them fails in some way."""

    def __init__(self, seed: int, name: str, share: float) -> None:
        self._share = share
        self._source = random.Random(f"{seed} {name} rest")

    def fate(self, answer: Answer) -> Answer:
        """The answer itself, or what a bad hour makes of it."""
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
    """What becomes of the trade frames of one exchange. Shares are of all frames, from 0 to 1."""

    def __init__(self, seed: int, exchange: str) -> None:
        self.garbage = 0.0
        """Share with a damaged frame beside them."""
        self.duplicated = 0.0
        """Share sent twice."""
        self.reordered = 0.0
        """Share sent after frames that should come later."""
        self.dropped = 0.0
        """Share never sent."""
        self.delay_s = 0.0
        self._source = random.Random(f"{seed} {exchange}")

    def fate(self, frames: Sequence[bytes]) -> list[tuple[float, bytes]]:
        """What is sent in place of ``frames``: in how many seconds, and what."""
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
        """The frame cut short, or what no exchange means to send: never what reads as another trade."""
        if self._source.random() < 0.5:
            return frame[: self._source.randrange(len(frame))]
        return self._source.choice(_SAMPLES)


def garbage(seed: int, count: int) -> list[bytes]:
    """``count`` frames that no exchange means to send; the same for the same seed."""
    source = random.Random(seed)
    return [source.choice(_SAMPLES) for _ in range(count)]
