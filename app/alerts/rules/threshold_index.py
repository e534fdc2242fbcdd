"""Thresholds on a number: a new value costs only the thresholds it passes. Pure: no I/O."""

from __future__ import annotations

import itertools
from math import inf
from typing import Any

from sortedcontainers import SortedList

_numbers = itertools.count()


class Threshold:
    """A level on a series: it turns on at ``on``, and off again beyond ``off``.

    ``is_up``: it is on at or above the level; else at or below. ``is_strict``: not at the level itself.
    """

    __slots__ = (
        *("has_passed", "is_on", "is_strict", "is_up", "is_single_use", "number", "off", "on"),
        *("owner", "series"),
    )

    def __init__(
        self,
        owner: Any,
        series: Series,
        *,
        on: float,
        off: float,
        is_up: bool,
        is_strict: bool = False,
        is_single_use: bool = False,
    ) -> None:
        self.owner = owner
        self.series = series
        self.on = on
        self.off = off
        self.is_up = is_up
        self.is_strict = is_strict
        self.is_single_use = is_single_use
        """Whether it leaves its series once it is on."""
        self.is_on = False
        self.has_passed = False
        """Whether it has just turned on or off; its owner clears this."""
        self.number = next(_numbers)

    def start(self, *, is_on: bool) -> None:
        """Enter its series, to be turned by its values."""
        self.is_on = is_on
        self.series.thresholds.add(self)

    def would_be_on(self, value: float, *, was_on: bool) -> bool:
        """Whether it is on at ``value``; between its levels it stays as it was."""
        level = self.off if was_on else self.on
        if value == level:
            return not self.is_strict
        return value > level if self.is_up else value < level

    @property
    def waits_upwards(self) -> bool:
        return self.is_up != self.is_on


class ThresholdIndex:
    """The thresholds of a series, by the value that turns each on or off."""

    __slots__ = ("_falling", "_rising")

    def __init__(self) -> None:
        self._rising = SortedList()
        self._falling = SortedList()

    def __len__(self) -> int:
        return len(self._rising) + len(self._falling)

    def add(self, threshold: Threshold) -> None:
        (self._rising if threshold.waits_upwards else self._falling).add(_place(threshold))

    def remove(self, threshold: Threshold) -> None:
        """Remove a threshold, which must be unchanged since it was added."""
        (self._rising if threshold.waits_upwards else self._falling).remove(_place(threshold))

    def clear(self) -> None:
        self._rising.clear()
        self._falling.clear()

    @property
    def lowest_rising(self) -> float:
        """The lowest value that turns a threshold upwards; infinite if there is none."""
        return float(self._rising[0][0]) if self._rising else inf

    @property
    def highest_falling(self) -> float:
        """The highest value that turns a threshold downwards; minus infinity if there is none."""
        return float(self._falling[-1][0]) if self._falling else -inf

    def passed(self, value: float) -> list[Threshold]:
        """The thresholds that ``value`` turns."""
        rising, falling = self._parts(value)
        return [entry[3] for entry in (*self._rising[:rising], *self._falling[falling:])]

    def take(self, value: float) -> list[Threshold]:
        """Remove and return the thresholds that ``value`` turns."""
        if self.highest_falling < value < self.lowest_rising:
            return []
        taken = self.passed(value)
        rising, falling = self._parts(value)
        del self._rising[:rising]
        del self._falling[falling:]
        return taken

    def _parts(self, value: float) -> tuple[int, int]:
        """How many rising thresholds ``value`` passes, and the first falling one that it passes."""
        # A threshold that waits for more than its level has 1 there, upwards, and 0 downwards.
        return self._rising.bisect_right((value, 0.5)), self._falling.bisect_left((value, 0.5))


class Series:
    """A number that changes, and the thresholds on it."""

    __slots__ = ("key", "thresholds", "value")

    def __init__(self, key: str) -> None:
        self.key = key
        """The key of the series of prices, or reading, that it comes from."""
        self.value: float | None = None
        self.thresholds = ThresholdIndex()

    def set(self, value: float | None, touched: list[Threshold]) -> None:
        """Set the value (None: unknown), turn the thresholds it passes, and add them to ``touched``."""
        was_known = self.value is not None
        self.value = value
        if value is None or not self.thresholds:
            return
        for threshold in self.thresholds.take(value):
            threshold.is_on = not threshold.is_on
            threshold.has_passed = was_known
            if not threshold.is_single_use:
                self.thresholds.add(threshold)
            touched.append(threshold)


def _place(threshold: Threshold) -> tuple[float, int, int, Threshold]:
    upwards = threshold.waits_upwards
    # To turn on, the level itself counts unless strict; to turn off, it counts only if strict.
    counts = threshold.is_strict if threshold.is_on else not threshold.is_strict
    flag = (0 if counts else 1) if upwards else (1 if counts else 0)
    return (threshold.off if threshold.is_on else threshold.on), flag, threshold.number, threshold
