"""What a test can break on purpose."""

from __future__ import annotations

import random

import msgspec

from simulator.exchanges.base import Answer


class RestFault(msgspec.Struct):
    """REST answers that will be failures."""

    status: int
    left: int
    retry_after_s: float | None

    def answer(self) -> Answer:
        headers = {} if self.retry_after_s is None else {"retry-after": f"{self.retry_after_s:g}"}
        return Answer(b'{"message":"simulated failure"}', self.status, headers)


def garbage(seed: int, count: int) -> list[bytes]:
    """``count`` frames that no exchange means to send; the same for the same seed."""
    source = random.Random(seed)
    samples = (
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
    return [source.choice(samples) for _ in range(count)]
