"""How far this endpoint has looked, by marks it sends itself among the announcements."""

from __future__ import annotations

import asyncio
import time
from math import inf

from coinwatch.times import now_us
from warehouse.alerts.snapshots import CommitSnapshot


class Progress:
    """A mark that comes back says: everything committed before it was sent is heard and dealt with."""

    def __init__(self) -> None:
        self.looked: CommitSnapshot | None = None
        """Every commit it sees is dealt with."""
        self.worth_storing = asyncio.Event()
        """Set by catching up: should this endpoint end now, the next one begins from there."""
        self._sent: dict[int, CommitSnapshot] = {}
        self._last_back = -1
        self._moved_at = -inf
        self._ahead_us = 0
        self._latest_us = 0
        self.is_stored = False
        """Whether the next endpoint would know how far this one has looked."""

    def now_us(self) -> int:
        """The database's clock, as last told. It never goes back: what was due stays due."""
        self._latest_us = max(self._latest_us, now_us() + self._ahead_us)
        return self._latest_us

    def told(self, look: CommitSnapshot) -> None:
        """``look`` was taken just now."""
        self._ahead_us = look.at_us - now_us()

    @property
    def age_s(self) -> float:
        """Seconds since all that was announced was dealt with; infinite before that was stored first."""
        return time.monotonic() - self._moved_at if self.is_stored else inf

    def sent(self, number: int, look: CommitSnapshot) -> None:
        """Mark ``number`` was sent after ``look``. It may be back before this is known."""
        self.told(look)
        if number <= self._last_back:
            self._moved(look)
        else:
            self._sent[number] = look

    def acknowledge(self, number: int) -> None:
        """Everything announced before mark ``number`` is dealt with. Numbers grow."""
        self._last_back = number
        if look := self._sent.get(number):
            self._moved(look)
        self._sent = {later: look for later, look in self._sent.items() if later > number}

    def caught_up(self, look: CommitSnapshot) -> None:
        """Everything that ``look`` sees is dealt with, announced or not."""
        self._moved(look)
        self.worth_storing.set()

    def _moved(self, look: CommitSnapshot) -> None:
        if self.looked is None or look.at_us >= self.looked.at_us:
            self.looked = look
        self._moved_at = time.monotonic()
