"""One log line in place of many of the same kind."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_S = 60.0


class LogThrottle:
    """Lets the first line of a burst through, then one a minute with the count of those suppressed."""

    def __init__(self, quiet_s: float = QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._next_at = float("-inf")
        self._suppressed = 0

    def suppressed(self) -> int | None:
        """How many lines were suppressed since the last one logged; None when this one is, too."""
        now = self._clock()
        if now < self._next_at:
            self._suppressed += 1
            return None
        self._next_at = now + self._quiet_s
        count, self._suppressed = self._suppressed, 0
        return count
