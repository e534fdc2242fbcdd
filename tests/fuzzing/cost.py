"""The processor time of reading, as a function of the length of what is read."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from statistics import median
from typing import NamedTuple

from tests.fuzzing.readers import Reader

SMALLEST = 4_096
ENOUGH_S = 0.02
"""How a shorter time grows cannot be measured; a longer input is tried then."""
MOST_RATIO = 3.0
"""Twice the input costs about twice the time where the cost is linear, four times where it is quadratic."""
REPEATS = (1, 3, 7)


class Growth(NamedTuple):
    """The times for two inputs, the second twice as long."""

    size: int
    once_s: float
    twice_s: float

    @property
    def is_linear(self) -> bool:
        return self.twice_s < MOST_RATIO * self.once_s


def growth(reader: Reader, start: bytes, middle: bytes, end: bytes) -> Growth | None:
    """How the time grows with the number of middles. None when even the longest input takes little time."""
    size = SMALLEST
    longest = max(reader.longest, 2 * SMALLEST)
    while size <= longest // 2:
        once_s = _cost_s(reader, start, middle, end, size)
        if once_s >= ENOUGH_S:
            return _measured(reader, start, middle, end, size)
        # Where the cost is quadratic, four times the input takes sixteen times as long.
        size = size * 4 if once_s < ENOUGH_S / 16 else size * 3 // 2
    return None


def _measured(reader: Reader, start: bytes, middle: bytes, end: bytes, size: int) -> Growth:
    for repeats in REPEATS:  # a doubtful measurement is repeated
        once_s = median(_cost_s(reader, start, middle, end, size) for _ in range(repeats))
        twice_s = median(_cost_s(reader, start, middle, end, 2 * size) for _ in range(repeats))
        measured = Growth(size, once_s, twice_s)
        if measured.is_linear:
            break
    return measured


def _cost_s(reader: Reader, start: bytes, middle: bytes, end: bytes, size: int) -> float:
    text = start + middle * max(1, size // len(middle)) + end
    gc.disable()
    try:
        began_s = time.process_time()
        with suppress(*reader.refuses):
            reader.read(text)
        return time.process_time() - began_s
    finally:
        gc.enable()
