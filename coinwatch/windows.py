"""Half-open time spans and their arithmetic: start inclusive, end exclusive. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from coinwatch.times import DAY_US


class Window(msgspec.Struct, frozen=True, order=True):
    """``[start_us, end_us)`` in microseconds. Never empty, never reversed."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.start_us >= self.end_us:
            raise ValueError(f"empty window: {self.start_us} to {self.end_us}")

    @property
    def length_us(self) -> int:
        """The length in microseconds."""
        return self.end_us - self.start_us

    def intersect(self, other: Window) -> Window | None:
        """The overlap of both, or None when they do not overlap."""
        start_us, end_us = max(self.start_us, other.start_us), min(self.end_us, other.end_us)
        return Window(start_us, end_us) if start_us < end_us else None

    def pieces(self, length_us: int) -> Iterator[Window]:
        """Split into consecutive windows of ``length_us``; the last may be shorter.

        Raises ValueError when the length is not positive.
        """
        if length_us <= 0:
            raise ValueError(f"piece length must be positive, not {length_us}")
        for start_us in range(self.start_us, self.end_us, length_us):
            yield Window(start_us, min(start_us + length_us, self.end_us))

    def days(self) -> Iterator[Window]:
        """Split at every UTC midnight inside the window."""
        start_us = self.start_us
        while start_us < self.end_us:
            midnight_us = (start_us // DAY_US + 1) * DAY_US
            yield Window(start_us, min(midnight_us, self.end_us))
            start_us = midnight_us


def merge(windows: Iterable[Window]) -> list[Window]:
    """The union of ``windows`` as ordered windows that do not touch."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.start_us <= merged[-1].end_us:
            last = merged.pop()
            merged.append(Window(last.start_us, max(last.end_us, window.end_us)))
        else:
            merged.append(window)
    return merged


def subtract(wanted: Iterable[Window], taken: Iterable[Window]) -> list[Window]:
    """The parts of ``wanted`` outside ``taken``, as ordered windows that do not touch."""
    remaining: list[Window] = []
    merged = merge(taken)
    for window in merge(wanted):
        start_us = window.start_us
        for cut in merged:
            if cut.end_us <= start_us:
                continue
            if cut.start_us >= window.end_us:
                break
            if cut.start_us > start_us:
                remaining.append(Window(start_us, cut.start_us))
            start_us = cut.end_us
        if start_us < window.end_us:
            remaining.append(Window(start_us, window.end_us))
    return remaining
