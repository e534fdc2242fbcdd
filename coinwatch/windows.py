"""Half-open spans of time and their arithmetic: start inclusive, end exclusive."""

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
        return self.end_us - self.start_us

    def intersect(self, other: Window) -> Window | None:
        """What both cover, or None when they do not overlap."""
        start_us, end_us = max(self.start_us, other.start_us), min(self.end_us, other.end_us)
        return Window(start_us, end_us) if start_us < end_us else None

    def pieces(self, length_us: int) -> Iterator[Window]:
        """Cut into consecutive windows of at most ``length_us``, the last one shorter."""
        if length_us <= 0:
            raise ValueError(f"piece length must be positive, not {length_us}")
        for start_us in range(self.start_us, self.end_us, length_us):
            yield Window(start_us, min(start_us + length_us, self.end_us))

    def days(self) -> Iterator[Window]:
        """Cut at every UTC midnight inside the window."""
        start_us = self.start_us
        while start_us < self.end_us:
            midnight_us = (start_us // DAY_US + 1) * DAY_US
            yield Window(start_us, min(midnight_us, self.end_us))
            start_us = midnight_us


def merge(windows: Iterable[Window]) -> list[Window]:
    """The same time as few, ordered, non-touching windows."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.start_us <= merged[-1].end_us:
            last = merged.pop()
            merged.append(Window(last.start_us, max(last.end_us, window.end_us)))
        else:
            merged.append(window)
    return merged


def subtract(wanted: Iterable[Window], taken: Iterable[Window]) -> list[Window]:
    """What of ``wanted`` lies outside ``taken``, as ordered, non-touching windows."""
    remaining: list[Window] = []
    gone = merge(taken)
    for window in merge(wanted):
        start_us = window.start_us
        for hole in gone:
            if hole.end_us <= start_us:
                continue
            if hole.start_us >= window.end_us:
                break
            if hole.start_us > start_us:
                remaining.append(Window(start_us, hole.start_us))
            start_us = hole.end_us
        if start_us < window.end_us:
            remaining.append(Window(start_us, window.end_us))
    return remaining
