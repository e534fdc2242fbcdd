"""When a rule is due without anything being heard: it ends, or has held or waited long enough. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Protocol

from sortedcontainers import SortedList

from coinwatch.alerts import Rule


class Sleeper(Protocol):
    """Who may be woken, once at a time."""

    number: int
    wake_us: int | None


class Clock:
    """The ends of rules, and who is to be looked at when. By the database's clock."""

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
        """The ids of rules that are over at ``now_us``, for as long as they are here."""
        while self._ends and self._ends[0][0] <= now_us:
            yield self._ends[0][1]

    def wake(self, sleeper: Sleeper, at_us: int | None) -> None:
        """Look at it at ``at_us`` and not when it was to be looked at before; None: not at all."""
        if sleeper.wake_us is not None:
            self._wakes.remove((sleeper.wake_us, sleeper.number, sleeper))
        sleeper.wake_us = at_us
        if at_us is not None:
            self._wakes.add((at_us, sleeper.number, sleeper))

    def woken(self, now_us: int) -> Iterator[Sleeper]:
        """Those who are to be looked at by ``now_us``, each time once."""
        while self._wakes and self._wakes[0][0] <= now_us:
            sleeper: Sleeper = self._wakes.pop(0)[2]
            sleeper.wake_us = None
            yield sleeper
