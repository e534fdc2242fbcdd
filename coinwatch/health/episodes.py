"""One log line when something stops working and one when it works again, however often it is tried."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import msgspec

SETTLED_S = 5.0
MOST_REASONS = 5
_NUMBER = re.compile(r"\d[\d.,:]*")


class Recovery(msgspec.Struct, frozen=True):
    """The end of an episode."""

    lasted_s: float
    """From its first failure to the first success after its last one."""
    failures: int


class Episode:
    """Decides what to log of something that is tried again and again.

    An episode begins with a failure and ends with the first success that no failure has followed for
    ``settled_s``. Each of its reasons is logged once, up to MOST_REASONS; reasons that differ only in numbers
    are the same.
    """

    def __init__(self, settled_s: float = SETTLED_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._settled_s = settled_s
        self._clock = clock
        self._reasons: set[str] = set()
        self._failures = 0
        self._began_at = 0.0
        self._well_at: float | None = None
        """When the success after the last failure was."""

    def __bool__(self) -> bool:
        """Whether it has begun and not ended."""
        return bool(self._failures)

    def failed(self, reason: str) -> bool:
        """Record a failure; return whether to log it."""
        if not self._failures:
            self._began_at = self._clock()
        self._failures += 1
        self._well_at = None
        kind = _NUMBER.sub("", reason)
        if kind in self._reasons or len(self._reasons) >= MOST_REASONS:
            return False
        self._reasons.add(kind)
        return True

    def worked(self) -> Recovery | None:
        """Record a success; return the end of the episode, to be logged, if this is it."""
        if not self._failures:
            return None
        now = self._clock()
        if self._well_at is None:
            self._well_at = now
        if now - self._well_at < self._settled_s:
            return None
        recovery = Recovery(round(self._well_at - self._began_at, 1), self._failures)
        self._failures = 0
        self._reasons.clear()
        return recovery
