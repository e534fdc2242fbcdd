"""A rule that needs more than one price, and its progress. Pure: no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from app.alerts.rules.condition_tree import Node
from app.alerts.rules.pending_changes import Cause
from coinwatch.alerts import Rule
from coinwatch.alerts.conditions import declaration, is_known_at_once, is_met_by_trades
from coinwatch.records import Symbol

VALUE_DIGITS = 6

Place: TypeAlias = Symbol | str
"""The trades of a pair, or the key of another series of prices."""

_numbers = itertools.count()


class StatefulRule:
    """A rule that needs more than one price, with a condition tree for each of its markets."""

    __slots__ = ("candle_us", "holding_us", "is_ahead", "needs_memory", "number", "rule", "trees", "wake_us")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.trees: dict[int, Node] = {}
        """By market id; 0 is the pair as a whole."""
        self.holding_us = rule.state.holding_us
        """Since when its condition has been met; None while it is not."""
        self.wake_us: int | None = None
        self.candle_us: int | None = None
        """The open time of the candle in which it may fire again."""
        self.number = next(_numbers)
        self.needs_memory = rule.terms.hysteresis > 0 or not is_known_at_once(rule.condition)
        self.is_ahead = bool(rule.state.seen)
        """Whether another endpoint may have evaluated it on later commits than this one."""

    def memory(self) -> Mapping[str, str]:
        """The state of its trees, by place, as another endpoint needs it to continue."""
        if not self.needs_memory:
            return {}
        bits = {str(place): "".join("01"[bit] for bit in tree.memory()) for place, tree in self.trees.items()}
        if self.rule.state.waiting:
            return bits
        return {place: of_place for place, of_place in bits.items() if "1" in of_place}

    def remembered(self, place: int) -> Iterable[bool]:
        """The stored state of the tree in a place; empty if none is stored."""
        if not self.rule.state.legs:
            return ()
        bits = self.rule.state.legs.get(str(place))
        return itertools.repeat(False) if bits is None else [bit == "1" for bit in bits]

    def waits_at(self) -> Iterable[Place]:
        """The places whose next price can change it."""
        if is_met_by_trades(self.rule.condition):
            return (self.rule.symbol,)
        return {threshold.series.key for tree in self.trees.values() for threshold in tree.thresholds()}

    def value(self, cause: Cause, met: list[int]) -> float | None:
        """What its condition measured in a place where it is ``met``; None if it measures only a price."""
        if declaration(self.rule.condition).measures is None:
            return None
        tree = self.trees[cause.market_id if cause.market_id in met else met[0]]
        thresholds = list(tree.thresholds())
        reached = next((threshold for threshold in thresholds if threshold.is_on), thresholds[0])
        return None if reached.series.value is None else round(float(reached.series.value), VALUE_DIGITS)
