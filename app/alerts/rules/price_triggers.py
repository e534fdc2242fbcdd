"""Rules that the first trade at a price fires: one threshold each, and no other state. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from app.alerts.rules.market_state import MarketState, PriceSeries
from app.alerts.rules.threshold_index import Threshold
from coinwatch.alerts import Above, Below, Rule, Source


def is_single_threshold(rule: Rule, now_us: int) -> bool:
    """Whether the first trade at a price is all that the rule needs now."""
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
    """These rules, as thresholds on the prices of their market or pair."""

    def __init__(self, market_state: MarketState) -> None:
        self._market_state = market_state
        self._by_id: dict[int, Threshold] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Rule]:
        for threshold in self._by_id.values():
            yield threshold.owner

    def get(self, rule_id: int) -> Rule | None:
        threshold = self._by_id.get(rule_id)
        return threshold.owner if threshold else None

    def put(self, rule: Rule) -> None:
        condition = rule.condition
        assert isinstance(condition, Above | Below)  # noqa: S101  # see is_single_threshold
        pair = self._market_state.pair(rule.symbol)
        series = pair.anywhere if rule.exchange is None else pair.price_on(rule.exchange)
        price = condition.price
        threshold = Threshold(
            rule, series, on=price, off=price, is_up=isinstance(condition, Above), is_single_use=True
        )
        threshold.start(is_on=False)
        self._by_id[rule.id] = threshold

    def pop(self, rule_id: int) -> Rule | None:
        """Remove a rule and return it as it was; None if it is not one of these."""
        threshold = self._by_id.pop(rule_id, None)
        if threshold is None:
            return None
        if not threshold.is_on:
            threshold.series.thresholds.remove(threshold)
        rule: Rule = threshold.owner
        return rule

    def end(self) -> None:
        """Remove all rules: thresholds and their indexes refer to each other."""
        for series in {threshold.series for threshold in self._by_id.values()}:
            series.thresholds.clear()
        self._by_id.clear()

    def within(self, feed: PriceSeries, low: float, high: float) -> Iterator[Rule]:
        """The rules that prices of ``feed`` from ``low`` to ``high`` reach."""
        for series in (feed.price, self._market_state.pair(feed.symbol).anywhere):
            for price in (low, high):
                for threshold in series.thresholds.passed(price):
                    if threshold.is_single_use:
                        yield threshold.owner
