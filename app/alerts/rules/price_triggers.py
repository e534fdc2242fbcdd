"""Rules that the first trade at a price fires: a single leaf each, and nothing else to remember. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.alerts.rules.market_state import MarketState, PriceSeries
from app.alerts.rules.threshold_index import Threshold
from coinwatch.alerts import Above, Below, Rule, Source


def is_single_threshold(rule: Rule, now_us: int) -> bool:
    """Whether the first trade at a price is all that it waits for now."""
    condition, terms, state = rule.condition, rule.terms, rule.state
    return (
        isinstance(condition, Above | Below)
        and condition.source is Source.TRADE
        and not state.waiting
        and not terms.holds_for_s
        and terms.confirmed_on == 1
        and terms.quiet is None
        and rule.ready_at_us(now_us) <= now_us
    )


class PriceTriggers:
    """Those rules, on the ladders of their market or pair."""

    def __init__(self, world: MarketState) -> None:
        self._world = world
        self._leaves: dict[int, Threshold] = {}

    def __len__(self) -> int:
        return len(self._leaves)

    def __iter__(self) -> Iterator[Rule]:
        for leaf in self._leaves.values():
            yield leaf.owner

    def get(self, rule_id: int) -> Rule | None:
        leaf = self._leaves.get(rule_id)
        return leaf.owner if leaf else None

    def put(self, rule: Rule) -> None:
        condition = rule.condition
        assert isinstance(condition, Above | Below)  # noqa: S101  # see is_plain
        pair = self._world.pair(rule.symbol)
        series = pair.anywhere if rule.exchange is None else pair.price_on(rule.exchange)
        price = condition.price
        leaf = Threshold(
            rule, series, on=price, off=price, is_up=isinstance(condition, Above), leaves_when_on=True
        )
        leaf.start(is_on=False)
        self._leaves[rule.id] = leaf

    def pop(self, rule_id: int) -> Rule | None:
        """Watch for it no more; returns it as it was, None for none of these."""
        leaf = self._leaves.pop(rule_id, None)
        if leaf is None:
            return None
        if not leaf.is_on:
            leaf.series.ladder.remove(leaf)
        rule: Rule = leaf.owner
        return rule

    def end(self) -> None:
        """Let go of all: leaves and ladders refer to each other."""
        for series in {leaf.series for leaf in self._leaves.values()}:
            series.ladder.clear()
        self._leaves.clear()

    def within(self, feed: PriceSeries, low: float, high: float) -> Iterator[Rule]:
        """Those that prices of ``feed`` from ``low`` to ``high`` reach."""
        for series in (feed.price, self._world.pair(feed.symbol).anywhere):
            for price in (low, high):
                for leaf in series.ladder.passed(price):
                    if leaf.leaves_when_on:
                        yield leaf.owner
