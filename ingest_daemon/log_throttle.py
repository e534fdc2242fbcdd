"""One log line for many of a kind."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_S = 60.0


class LogThrottle:
    """Lets the first of a burst through, then one a minute with the count of those held back."""

    def __init__(self, quiet_s: float = QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._next_at = float("-inf")
        self._held_back = 0

    def suppressed(self) -> int | None:
        """None: say nothing. Else: speak, and say that so many were held back since the last time."""
        now = self._clock()
        if now < self._next_at:
            self._held_back += 1
            return None
        self._next_at = now + self._quiet_s
        count, self._held_back = self._held_back, 0
        return count
