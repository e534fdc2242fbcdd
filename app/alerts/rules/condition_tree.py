"""The condition of a rule in one place, as a tree over thresholds. Pure: no I/O.

``app.alerts.rules.builders`` makes the trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from app.alerts.rules.threshold_index import Threshold


class Node(Protocol):
    """A condition, or a part of one, in one market or pair."""

    def is_met(self) -> bool:
        """Whether it is met now."""

    def thresholds(self) -> Iterator[Threshold]:
        """The thresholds it depends on."""

    def settle(self) -> None:
        """Take in the thresholds that have just turned on or off."""

    def clear(self) -> None:
        """End the moment: what has just turned on or off is dealt with."""

    def memory(self) -> Iterator[bool]:
        """The state that a tree built later needs. Always the same number of bits."""


class Level:
    """Met while any of its thresholds is on."""

    def __init__(self, *thresholds: Threshold) -> None:
        self._thresholds = thresholds

    def is_met(self) -> bool:
        return any(threshold.is_on for threshold in self._thresholds)

    def thresholds(self) -> Iterator[Threshold]:
        return iter(self._thresholds)

    def settle(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def memory(self) -> Iterator[bool]:
        return (threshold.is_on for threshold in self._thresholds)


class Crossing:
    """Met while its threshold is on, if it was off before."""

    def __init__(self, threshold: Threshold, *, was_off: bool) -> None:
        self._leg = threshold
        self._was_off = was_off

    def is_met(self) -> bool:
        return self._leg.is_on and self._was_off

    def thresholds(self) -> Iterator[Threshold]:
        yield self._leg

    def settle(self) -> None:
        if self._leg.has_passed:
            self._was_off = True

    def clear(self) -> None:
        self._leg.has_passed = False

    def memory(self) -> Iterator[bool]:
        yield self._leg.is_on
        yield self._was_off


class Pulse:
    """Met for the moment in which its threshold turns on or off."""

    def __init__(self, threshold: Threshold) -> None:
        self._leg = threshold

    def is_met(self) -> bool:
        return self._leg.has_passed

    def thresholds(self) -> Iterator[Threshold]:
        yield self._leg

    def settle(self) -> None:
        pass

    def clear(self) -> None:
        self._leg.has_passed = False

    def memory(self) -> Iterator[bool]:
        yield self._leg.is_on


class Combination:
    """Met while all, or any, of its parts are met."""

    def __init__(self, parts: Sequence[Node], *, needs_all: bool) -> None:
        self._parts = parts
        self._needs_all = needs_all

    def is_met(self) -> bool:
        met = (part.is_met() for part in self._parts)
        return all(met) if self._needs_all else any(met)

    def thresholds(self) -> Iterator[Threshold]:
        for part in self._parts:
            yield from part.thresholds()

    def settle(self) -> None:
        for part in self._parts:
            part.settle()

    def clear(self) -> None:
        for part in self._parts:
            part.clear()

    def memory(self) -> Iterator[bool]:
        for part in self._parts:
            yield from part.memory()
