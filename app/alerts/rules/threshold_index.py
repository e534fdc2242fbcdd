"""Thresholds over one number that moves: a new value touches only those it passes. Pure."""

from __future__ import annotations

import itertools
from math import inf
from typing import Any

from sortedcontainers import SortedList

_numbers = itertools.count()


class Threshold:
    """One condition on one series: on from ``on``, off again beyond ``off``.

    ``is_up``: it is on at or above; else at or below. ``is_strict``: the level itself is not on.
    """

    __slots__ = (
        *("has_passed", "is_on", "is_strict", "is_up", "leaves_when_on", "number", "off", "on"),
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
        leaves_when_on: bool = False,
    ) -> None:
        self.owner = owner
        self.series = series
        self.on = on
        self.off = off
        self.is_up = is_up
        self.is_strict = is_strict
        self.leaves_when_on = leaves_when_on
        """Once on, it waits in its series no more."""
        self.is_on = False
        self.has_passed = False
        """It has just turned on or off; cleared by its owner."""
        self.number = next(_numbers)

    def start(self, *, is_on: bool) -> None:
        """Begin to wait in its series for what turns it over."""
        self.is_on = is_on
        self.series.ladder.add(self)

    def would_be_on(self, value: float, *, was_on: bool) -> bool:
        """Whether it is on at ``value``; between its levels it stays what it was."""
        level = self.off if was_on else self.on
        if value == level:
            return not self.is_strict
        return value > level if self.is_up else value < level

    @property
    def waits_upwards(self) -> bool:
        return self.is_up != self.is_on


class ThresholdIndex:
    """The leaves of one series, by the value that turns each over."""

    __slots__ = ("_falling", "_rising")

    def __init__(self) -> None:
        self._rising = SortedList()
        self._falling = SortedList()

    def __len__(self) -> int:
        return len(self._rising) + len(self._falling)

    def add(self, leaf: Threshold) -> None:
        (self._rising if leaf.waits_upwards else self._falling).add(_place(leaf))

    def remove(self, leaf: Threshold) -> None:
        """It must wait here as it is now."""
        (self._rising if leaf.waits_upwards else self._falling).remove(_place(leaf))

    def clear(self) -> None:
        self._rising.clear()
        self._falling.clear()

    @property
    def lowest_rising(self) -> float:
        """From this value on something turns over."""
        return float(self._rising[0][0]) if self._rising else inf

    @property
    def highest_falling(self) -> float:
        """From this value down something turns over."""
        return float(self._falling[-1][0]) if self._falling else -inf

    def passed(self, value: float) -> list[Threshold]:
        """Those that ``value`` turns over."""
        rising, falling = self._parts(value)
        return [entry[3] for entry in (*self._rising[:rising], *self._falling[falling:])]

    def take(self, value: float) -> list[Threshold]:
        """Those that ``value`` turns over; they wait here no more."""
        if self.highest_falling < value < self.lowest_rising:
            return []
        taken = self.passed(value)
        rising, falling = self._parts(value)
        del self._rising[:rising]
        del self._falling[falling:]
        return taken

    def _parts(self, value: float) -> tuple[int, int]:
        """How many rising leaves ``value`` passes, and from which falling one on."""
        # A leaf that waits for more than its level has 1 there, upwards, and 0 downwards.
        return self._rising.bisect_right((value, 0.5)), self._falling.bisect_left((value, 0.5))


class Series:
    """A number that moves, and who waits for what of it."""

    __slots__ = ("key", "ladder", "value")

    def __init__(self, key: str) -> None:
        self.key = key
        """Of the feed it comes from."""
        self.value: float | None = None
        self.ladder = ThresholdIndex()

    def set(self, value: float | None, touched: list[Threshold]) -> None:
        """Move to ``value`` (None: not known now); those turned over are turned and added to ``touched``."""
        was_known = self.value is not None
        self.value = value
        if value is None or not self.ladder:
            return
        for leaf in self.ladder.take(value):
            leaf.is_on = not leaf.is_on
            leaf.has_passed = was_known
            if not leaf.leaves_when_on:
                self.ladder.add(leaf)
            touched.append(leaf)


def _place(leaf: Threshold) -> tuple[float, int, int, Threshold]:
    upwards = leaf.waits_upwards
    # To turn on, the level itself counts unless strict; to turn off, it counts only if strict.
    counts = leaf.is_strict if leaf.is_on else not leaf.is_strict
    flag = (0 if counts else 1) if upwards else (1 if counts else 0)
    return (leaf.off if leaf.is_on else leaf.on), flag, leaf.number, leaf
