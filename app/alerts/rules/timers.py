"""When rules are due by the clock: they expire, or have held or waited long enough. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Protocol

from sortedcontainers import SortedList

from coinwatch.alerts import Rule


class Sleeper(Protocol):
    """An object with at most one wake-up time."""

    number: int
    wake_us: int | None


class Clock:
    """The expiries and wake-up times of rules, by the database's clock."""

    def __init__(self) -> None:
        self._ends: SortedList = SortedList()
        self._wakes: SortedList = SortedList()

    @property
    def next_due_us(self) -> float:
        """When something is due; infinite for never."""
        return min((float(queue[0][0]) for queue in (self._ends, self._wakes) if queue), default=inf)

    def add_end(self, rule: Rule) -> None:
        if rule.terms.expires_at_us is not None:
            self._ends.add((rule.terms.expires_at_us, rule.id))

    def forget_end(self, rule: Rule) -> None:
        if rule.terms.expires_at_us is not None:
            self._ends.discard((rule.terms.expires_at_us, rule.id))

    def ended(self, now_us: int) -> Iterator[int]:
        """The ids of the rules that have expired by ``now_us``. The caller removes each before the next."""
        while self._ends and self._ends[0][0] <= now_us:
            yield self._ends[0][1]

    def wake(self, sleeper: Sleeper, at_us: int | None) -> None:
        """Set the wake-up time of ``sleeper``, in place of an earlier time; None: no wake-up."""
        if sleeper.wake_us is not None:
            self._wakes.remove((sleeper.wake_us, sleeper.number, sleeper))
        sleeper.wake_us = at_us
        if at_us is not None:
            self._wakes.add((at_us, sleeper.number, sleeper))

    def woken(self, now_us: int) -> Iterator[Sleeper]:
        """Remove and return, in order, those whose wake-up time is at or before ``now_us``."""
        while self._wakes and self._wakes[0][0] <= now_us:
            sleeper: Sleeper = self._wakes.pop(0)[2]
            sleeper.wake_us = None
            yield sleeper
