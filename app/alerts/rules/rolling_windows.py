"""Rolling windows over prices and volumes, at a constant cost for each trade. Pure: no I/O.

A window is divided into slots: seconds if it is at most an hour long, else minutes. It holds the slot of
the newest trade and those that begin less than its length before that slot.
"""

from __future__ import annotations

from collections import deque

from coinwatch.times import MINUTE_US, SECOND_US

HOUR_S = 3_600


def slot_us(length_s: int) -> int:
    """The length of the slots of a window that is ``length_s`` long."""
    return SECOND_US if length_s <= HOUR_S else MINUTE_US


class Extremes:
    """The lowest and the highest price of a window."""

    __slots__ = ("_highs", "_length_us", "_lows", "_newest_us", "_slot_us", "known_since_us")

    def __init__(self, length_s: int) -> None:
        self._slot_us = slot_us(length_s)
        self._length_us = length_s * SECOND_US
        self._newest_us = 0
        self._highs: deque[tuple[int, float]] = deque()
        self._lows: deque[tuple[int, float]] = deque()
        self.known_since_us: int | None = None
        """Prices before this time are unknown; None: there are no prices."""

    def add(self, ts_us: int, low: float, high: float) -> None:
        """Add prices from ``low`` to ``high`` at ``ts_us``; a time before the newest counts as the newest."""
        slot = max(self._newest_us, ts_us - ts_us % self._slot_us)
        self._newest_us = slot
        if self.known_since_us is None:
            self.known_since_us = slot
        while self._highs and self._highs[-1][1] <= high:
            self._highs.pop()
        self._highs.append((slot, high))
        while self._lows and self._lows[-1][1] >= low:
            self._lows.pop()
        self._lows.append((slot, low))
        self.advance(ts_us)

    def advance(self, ts_us: int) -> None:
        """Drop the slots that are too old at ``ts_us``."""
        oldest = max(self._newest_us, ts_us - ts_us % self._slot_us) - self._length_us
        while self._highs and self._highs[0][0] < oldest:
            self._highs.popleft()
        while self._lows and self._lows[0][0] < oldest:
            self._lows.popleft()

    @property
    def high(self) -> float | None:
        return self._highs[0][1] if self._highs else None

    @property
    def low(self) -> float | None:
        return self._lows[0][1] if self._lows else None

    def covers(self, ts_us: int) -> bool:
        """Whether prices are known as far back as the window goes at ``ts_us``."""
        return self.known_since_us is not None and self.known_since_us <= ts_us - self._length_us


class Sums:
    """The volume of a window, and of the usual span before it."""

    __slots__ = ("_before", "_length_us", "_newest_us", "_slot_us", "_usual_us", "_within",
                 "before", "known_since_us", "within")  # fmt: skip

    def __init__(self, length_s: int, usual_s: int) -> None:
        self._slot_us = slot_us(length_s)
        self._length_us = length_s * SECOND_US
        self._usual_us = usual_s * SECOND_US
        self._newest_us = 0
        self._within: deque[list[float]] = deque()
        self._before: deque[list[float]] = deque()
        self.within = 0.0
        """The volume within the window."""
        self.before = 0.0
        """The volume within the usual span before it."""
        self.known_since_us: int | None = None

    def add(self, ts_us: int, amount: float) -> None:
        slot = max(self._newest_us, ts_us - ts_us % self._slot_us)
        self._newest_us = slot
        if self.known_since_us is None:
            self.known_since_us = slot
        if self._within and self._within[-1][0] == slot:
            self._within[-1][1] += amount
        else:
            self._within.append([slot, amount])
        self.within += amount
        while self._within and self._within[0][0] < slot - self._length_us:
            aged = self._within.popleft()
            self.within -= aged[1]
            self.before += aged[1]
            minute = aged[0] - aged[0] % MINUTE_US
            if self._before and self._before[-1][0] == minute:
                self._before[-1][1] += aged[1]
            else:
                self._before.append([minute, aged[1]])
        while self._before and self._before[0][0] + MINUTE_US <= slot - self._length_us - self._usual_us:
            self.before -= self._before.popleft()[1]

    def ratio(self, ts_us: int) -> float | None:
        """How many times its usual volume the window has; None while the usual volume is unknown."""
        if self.known_since_us is None or self.before <= 0 or not self._before:
            return None
        if self.known_since_us > ts_us - self._length_us - self._usual_us:
            return None
        span_us = self._newest_us - self._length_us - self._before[0][0]
        return self.within / (self.before * self._length_us / span_us) if span_us > 0 else None
