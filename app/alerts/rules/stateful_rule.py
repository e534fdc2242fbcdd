"""One rule that needs more than one price, and how far it is. Pure."""

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
"""The trades of a pair, or the prices of another feed."""

_numbers = itertools.count()


class StatefulRule:
    """A rule that needs more than one price, and how far it is."""

    __slots__ = ("candle_us", "holding_us", "is_ahead", "needs_memory", "number", "rule", "trees", "wake_us")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.trees: dict[int, Node] = {}
        """By market id; 0: the pair as a whole."""
        self.holding_us = rule.state.holding_us
        """Since when its condition is met."""
        self.wake_us: int | None = None
        self.candle_us: int | None = None
        """When a candle begins in which it may fire again."""
        self.number = next(_numbers)
        self.needs_memory = rule.terms.hysteresis > 0 or not is_known_at_once(rule.condition)
        self.is_ahead = bool(rule.state.seen)
        """Others may have seen more of it than came here yet."""

    def memory(self) -> Mapping[str, str]:
        """What whoever goes on from here has to know of its trees."""
        if not self.needs_memory:
            return {}
        told = {str(place): "".join("01"[bit] for bit in tree.memory()) for place, tree in self.trees.items()}
        if self.rule.state.waiting:
            return told
        return {place: bits for place, bits in told.items() if "1" in bits}

    def remembered(self, place: int) -> Iterable[bool]:
        """What is known of an earlier tree in that place; nothing where that was not kept."""
        if not self.rule.state.legs:
            return ()
        bits = self.rule.state.legs.get(str(place))
        return itertools.repeat(False) if bits is None else [bit == "1" for bit in bits]

    def waits_at(self) -> Iterable[Place]:
        """Whose next price says more about it."""
        if is_met_by_trades(self.rule.condition):
            return (self.rule.symbol,)
        return {leg.series.key for tree in self.trees.values() for leg in tree.legs()}

    def value(self, cause: Cause, met: list[int]) -> float | None:
        """What was measured where it is ``met``, if its one condition measures more than a price."""
        if declaration(self.rule.condition).measures is None:
            return None
        tree = self.trees[cause.market_id if cause.market_id in met else met[0]]
        legs = list(tree.legs())
        leg = next((leg for leg in legs if leg.is_on), legs[0])
        return None if leg.series.value is None else round(float(leg.series.value), VALUE_DIGITS)
