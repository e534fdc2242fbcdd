"""The progress of this endpoint, by marks that it notifies itself of among the announcements."""

from __future__ import annotations

import asyncio
import time
from math import inf

from coinwatch.times import now_us
from warehouse.alerts.snapshots import CommitSnapshot


class Progress:
    """When a mark comes back, everything committed before it was sent has been evaluated."""

    def __init__(self) -> None:
        self.snapshot: CommitSnapshot | None = None
        """Every commit it sees has been evaluated; None before the first."""
        self.worth_storing = asyncio.Event()
        """Set by catching up: the next endpoint should continue from there if this one ends."""
        self._sent: dict[int, CommitSnapshot] = {}
        self._last_back = -1
        self._moved_at = -inf
        self._ahead_us = 0
        self._latest_us = 0
        self.is_stored = False
        """Whether the progress of this endpoint is stored."""

    def now_us(self) -> int:
        """The database's clock, by the last snapshot. It never goes back."""
        self._latest_us = max(self._latest_us, now_us() + self._ahead_us)
        return self._latest_us

    def set_clock(self, look: CommitSnapshot) -> None:
        """Set the clock by a snapshot that was just taken."""
        self._ahead_us = look.at_us - now_us()

    @property
    def age_s(self) -> float:
        """Seconds since everything announced was evaluated; infinite before that is stored."""
        return time.monotonic() - self._moved_at if self.is_stored else inf

    def sent(self, number: int, look: CommitSnapshot) -> None:
        """State that mark ``number`` was sent after a snapshot. The mark may have come back already."""
        self.set_clock(look)
        if number <= self._last_back:
            self._moved(look)
        else:
            self._sent[number] = look

    def acknowledge(self, number: int) -> None:
        """State that everything announced before mark ``number`` was evaluated. Numbers grow."""
        self._last_back = number
        if look := self._sent.get(number):
            self._moved(look)
        self._sent = {later: look for later, look in self._sent.items() if later > number}

    def caught_up(self, look: CommitSnapshot) -> None:
        """State that everything a snapshot sees was evaluated."""
        self._moved(look)
        self.worth_storing.set()

    def _moved(self, look: CommitSnapshot) -> None:
        if self.snapshot is None or look.at_us >= self.snapshot.at_us:
            self.snapshot = look
        self._moved_at = time.monotonic()
