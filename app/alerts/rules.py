"""The armed rules, indexed so that a move of a price touches only the rules it can fire. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf

from sortedcontainers import SortedList

from coinwatch.alerts import Direction, Rule
from coinwatch.records import Market, Symbol, Trade
from warehouse.alert_claims import Firing


class RuleIndex:
    """Rules by the market they watch, their prices in order. Costs by what fires, not by what is held."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._ladders: dict[tuple[str | None, Symbol], _Ladder] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, rule_id: int) -> Rule | None:
        return self._rules.get(rule_id)

    def put(self, rule: Rule) -> None:
        """Watch for ``rule`` as it is now, in place of what was known of it."""
        self.remove(rule.id)
        if rule.armed:
            self._rules[rule.id] = rule
            self._ladders.setdefault((rule.exchange, rule.symbol), _Ladder()).add(rule)

    def remove(self, rule_id: int) -> None:
        """Watch for it no more. Unknown ids are fine."""
        rule = self._rules.pop(rule_id, None)
        if rule is None:
            return
        key = (rule.exchange, rule.symbol)
        ladder = self._ladders[key]
        ladder.remove(rule)
        if not ladder:
            del self._ladders[key]

    def replace(self, rules: Iterable[Rule]) -> None:
        """Forget everything known and watch for ``rules``."""
        self._rules.clear()
        self._ladders.clear()
        for rule in rules:
            self.put(rule)

    def bounds(self, market: Market) -> tuple[float, float]:
        """A trade fires something at or above the first price, or at or below the second."""
        ladders = list(self._ladders_of(market))
        return (
            min((ladder.lowest_above for ladder in ladders), default=inf),
            max((ladder.highest_below for ladder in ladders), default=-inf),
        )

    def touched(self, market: Market, price: float) -> Iterator[Rule]:
        """The rules that a trade at ``price`` meets."""
        for ladder in self._ladders_of(market):
            for rule_id in ladder.met_by(price):
                yield self._rules[rule_id]

    def _ladders_of(self, market: Market) -> Iterator[_Ladder]:
        for key in ((market.exchange, market.symbol), (None, market.symbol)):
            if ladder := self._ladders.get(key):
                yield ladder


class _Ladder:
    """The prices watched in one place, with the ids of their rules."""

    def __init__(self) -> None:
        self._above = SortedList()
        self._below = SortedList()

    def __bool__(self) -> bool:
        return bool(self._above) or bool(self._below)

    def add(self, rule: Rule) -> None:
        self._side(rule).add((rule.condition.price, rule.id))

    def remove(self, rule: Rule) -> None:
        self._side(rule).remove((rule.condition.price, rule.id))

    @property
    def lowest_above(self) -> float:
        return float(self._above[0][0]) if self._above else inf

    @property
    def highest_below(self) -> float:
        return float(self._below[-1][0]) if self._below else -inf

    def met_by(self, price: float) -> Iterator[int]:
        for _, rule_id in self._above.irange(maximum=(price, inf)):
            yield rule_id
        for _, rule_id in self._below.irange(minimum=(price, -inf)):
            yield rule_id

    def _side(self, rule: Rule) -> SortedList:
        return self._above if rule.condition.type is Direction.ABOVE else self._below


def firings(
    index: RuleIndex, trades: Iterable[Trade], may_fire: Callable[[Rule, Trade], bool] | None = None
) -> list[Firing]:
    """The rules that ``trades``, in order, fire: each with the first trade that meets it."""
    found: dict[int, Firing] = {}
    reached: dict[Market, tuple[float, float]] = {}
    for trade in trades:
        if may_fire is None:
            # Only a trade outside the range of those before it can meet a rule that they did not.
            low, high = reached.get(trade.market, (inf, -inf))
            if low <= trade.price <= high:
                continue
            reached[trade.market] = (min(low, trade.price), max(high, trade.price))
        for rule in index.touched(trade.market, trade.price):
            if rule.id not in found and (may_fire is None or may_fire(rule, trade)):
                found[rule.id] = Firing(rule, trade)
    return list(found.values())
