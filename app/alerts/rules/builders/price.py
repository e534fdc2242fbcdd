"""Trees of the conditions on a price. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, inf

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.threshold_index import Series, Threshold
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts.conditions import Above, Below, Crosses, Depeg, Every

STEP_BITS = 42
"""Of the number of a step, in memory."""
_MAX_STEP = 2 ** (STEP_BITS - 1) - 2


@builds(Above)
def _above(builder: ConditionTreeBuilder, condition: Above) -> Node:
    series = builder.prices(condition).price
    return Level(builder.price_threshold(series, condition.price, is_up=True))


@builds(Below)
def _below(builder: ConditionTreeBuilder, condition: Below) -> Node:
    series = builder.prices(condition).price
    return Level(builder.price_threshold(series, condition.price, is_up=False))


@builds(Crosses)
def _crosses(builder: ConditionTreeBuilder, condition: Crosses) -> Node:
    band = condition.price * builder.hysteresis / 100
    return builder.crossing(builder.prices(condition).price, condition.price, condition.way, band=band)


@builds(Depeg)
def _depeg(builder: ConditionTreeBuilder, condition: Depeg) -> Node:
    prices = builder.prices(condition)
    series = prices.off_peg.setdefault(condition.peg, Series(prices.key))
    if prices.last is not None:
        series.value = abs(prices.last / condition.peg - 1) * 100
    return Level(builder.threshold(series, condition.percent))


class Steps:
    """Met for the moment in which the price reaches a step other than the last.

    It has two thresholds, at the next steps up and down, and moves them when the price reaches either.
    """

    def __init__(self, owner: object, series: Series, condition: Every, reached: int | None) -> None:
        """``reached``: the step reached last; None if it is not known."""
        self._condition = condition
        self._reached = reached
        self._up = Threshold(owner, series, on=0.0, off=0.0, is_up=True)
        self._down = Threshold(owner, series, on=0.0, off=0.0, is_up=False)
        self._is_placed = False
        self._place(series.value)

    def is_met(self) -> bool:
        return self._is_placed and (self._up.is_on or self._down.is_on)

    def thresholds(self) -> Iterator[Threshold]:
        yield self._up
        yield self._down

    def settle(self) -> None:
        pass

    def clear(self) -> None:
        if self._up.is_on or self._down.is_on:
            for threshold in self.thresholds():
                threshold.series.thresholds.remove(threshold)
            self._place(self._up.series.value)

    def memory(self) -> Iterator[bool]:
        reached = self._reached
        yield reached is not None
        for bit in range(STEP_BITS):
            yield bool((reached or 0) >> bit & 1)

    def _place(self, price: float | None) -> None:
        """Put the thresholds at the steps around ``price`` and the step reached last."""
        step = self._condition.step
        lower = upper = None
        if price is not None:
            lower = self._step_below(price)
            upper = lower if step(lower) == price else lower + 1
            self._reached = self._reached_between(lower, upper)
        if self._reached is not None:
            lower, upper = self._reached - 1, self._reached + 1
        self._is_placed = lower is not None
        # Without a price and a step, any price turns the upper threshold on.
        self._start(self._up, -inf if upper is None else inf if upper > _MAX_STEP else step(upper))
        self._start(self._down, -inf if lower is None else step(lower))

    def _reached_between(self, lower: int, upper: int) -> int | None:
        """The step reached last, by a price on a step (``lower`` is ``upper``) or between two."""
        if self._is_placed and self._up.is_on:
            return lower
        if self._is_placed and self._down.is_on:
            return upper
        if lower == upper:
            return lower
        is_near = self._reached is not None and lower <= self._reached <= upper
        return self._reached if is_near else None

    def _start(self, threshold: Threshold, level: float) -> None:
        threshold.on = threshold.off = level
        threshold.has_passed = False
        threshold.start(is_on=False)

    def _step_below(self, price: float) -> int:
        """The highest step at or below ``price``."""
        ratio = (price / self._condition.base - 1) * 100 / self._condition.percent
        step: int = floor(min(ratio, _MAX_STEP)) + 1
        while self._condition.step(step) > price:
            step -= 1
        return step


@builds(Every)
def _every(builder: ConditionTreeBuilder, condition: Every) -> Node:
    is_known = builder.remembered()
    bits = [builder.remembered() for _ in range(STEP_BITS)]
    step = sum(bit << place for place, bit in enumerate(bits)) - (bits[-1] << STEP_BITS)
    series = builder.prices(condition).price
    return Steps(builder.owner, series, condition, step if is_known else None)
