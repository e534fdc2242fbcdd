"""Rules that need more than one price: their progress, firing and re-arming. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf

import msgspec
from sortedcontainers import SortedList

from app.alerts.rules.builders import ConditionTreeBuilder
from app.alerts.rules.market_state import FRESH_US, MarketState, PriceSeries
from app.alerts.rules.pending_changes import Cause, PendingChanges
from app.alerts.rules.stateful_rule import Place, StatefulRule
from app.alerts.rules.timers import Clock
from coinwatch.alerts import Firing, Rule, Source, Transition, is_market_health, is_per_market
from coinwatch.alerts.conditions import is_polled
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US


class StatefulRules:
    """All of these rules, with a condition tree for each market that each of them watches."""

    def __init__(self, market_state: MarketState, clock: Clock, pending: PendingChanges) -> None:
        self._market_state = market_state
        self._clock = clock
        self._pending = pending
        self._by_id: dict[int, StatefulRule] = {}
        self._by_symbol: dict[Symbol, dict[int, StatefulRule]] = {}
        self._confirmed: Counter[Symbol] = Counter()
        """By pair, how many need several exchanges at once."""
        self._to_store: dict[int, StatefulRule] = {}
        self._candles: dict[Place, SortedList] = {}
        """Rules that wait for a candle to open, by the place whose next price can change them."""
        self._held_up: dict[int, int] = {}
        """Rules that another endpoint evaluated on later commits, and when they were evaluated here."""
        self.unsettled: dict[Place, dict[int, StatefulRule]] = {}
        """Rules to evaluate on the next price of a place, whatever that price is."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Rule]:
        for stateful in self._by_id.values():
            yield stateful.rule

    def get(self, rule_id: int) -> Rule | None:
        stateful = self._by_id.get(rule_id)
        return stateful.rule if stateful else None

    def of(self, symbol: Symbol) -> Iterator[Rule]:
        for stateful in self._by_symbol.get(symbol, {}).values():
            yield stateful.rule

    def is_confirmed(self, symbol: Symbol) -> bool:
        """Whether a rule of a pair needs several exchanges at once."""
        return self._confirmed[symbol] > 0

    def quiet_until_us(self, symbol: Symbol) -> float:
        """Until when only the range of prices matters; minus infinity if every trade does."""
        if self._confirmed[symbol] > 0 or self.unsettled.get(symbol):
            return -inf
        candles = self._candles.get(symbol)
        return float(candles[0][0]) if candles else inf

    def begin_candles(self, place: Place, ts_us: int) -> None:
        """Have the rules evaluated that wait for a candle that has opened by ``ts_us``."""
        candles = self._candles.get(place)
        while candles and candles[0][0] <= ts_us:
            stateful: StatefulRule = candles.pop(0)[2]
            self.unsettled.setdefault(place, {})[stateful.rule.id] = stateful

    def put(self, rule: Rule, now_us: int) -> None:
        stateful = StatefulRule(rule)
        self._confirmed[rule.symbol] += rule.terms.confirmed_on > 1
        self._by_id[rule.id] = stateful
        self._by_symbol.setdefault(rule.symbol, {})[rule.id] = stateful
        if is_per_market(rule.condition):
            for feed in self._market_state.pair(rule.symbol).markets.values():
                self._build_in_market(stateful, feed)
        else:
            self._build_tree(stateful, None)
        self._leave_unsettled(stateful)
        due_us = rule.ready_at_us(now_us)
        holds_since_us = rule.state.holding_us
        if holds_since_us is not None:
            due_us = max(due_us, holds_since_us + rule.terms.holds_for_s * SECOND_US)
        if (at_us := stateful.rule.rearms_at_us) is not None:
            self._await_candle(stateful, at_us)
        elif due_us > now_us or holds_since_us is not None or is_polled(rule.condition):
            self._clock.wake(stateful, due_us)

    def pop(self, rule_id: int) -> Rule | None:
        """Remove a rule and return it as it was; None if it is not one of these."""
        stateful = self._by_id.pop(rule_id, None)
        if stateful is None:
            return None
        self._to_store.pop(rule_id, None)
        for tree in stateful.trees.values():
            for threshold in tree.thresholds():
                threshold.series.thresholds.remove(threshold)
        rule = stateful.rule
        self._confirmed[rule.symbol] -= rule.terms.confirmed_on > 1
        self._by_symbol[rule.symbol].pop(rule_id)
        self._await_candle(stateful, None)
        for place in stateful.waits_at():
            self.unsettled.get(place, {}).pop(rule_id, None)
        stateful.trees.clear()  # reference cycles
        self._clock.wake(stateful, None)
        return rule

    def tidy(self) -> None:
        """Remove places without rules."""
        self.unsettled = {place: waiting for place, waiting in self.unsettled.items() if waiting}
        self._candles = {place: waiting for place, waiting in self._candles.items() if waiting}
        self._by_symbol = {symbol: watching for symbol, watching in self._by_symbol.items() if watching}
        self._confirmed = +self._confirmed

    def end(self) -> None:
        """Break the reference cycles of rules, trees, thresholds and their indexes."""
        for stateful in self._by_id.values():
            for tree in stateful.trees.values():
                for threshold in tree.thresholds():
                    threshold.series.thresholds.clear()
            stateful.trees.clear()

    def add_market(self, feed: PriceSeries) -> None:
        """Build the trees of the rules that watch the pair of a new market."""
        for stateful in self._by_symbol.get(feed.symbol, {}).values():
            self._build_in_market(stateful, feed)

    def evaluate(self, rules: Iterable[StatefulRule], cause: Cause, symbol: Symbol | None) -> None:
        """Evaluate rules whose thresholds have turned, by a trade of ``symbol`` (None: by anything else)."""
        touched = {stateful.number: stateful for stateful in rules}
        for place in (cause.feed, symbol):
            if place is not None:
                for stateful in self.unsettled.pop(place, {}).values():
                    touched[stateful.number] = stateful
        for stateful in touched.values():
            if stateful.rule.id in self._by_id:
                self._settle(stateful, cause)

    def wake(self, cause: Cause) -> None:
        """Evaluate the rules whose wake-up time has come."""
        for sleeper in self._clock.woken(cause.now_us):
            assert isinstance(sleeper, StatefulRule)  # noqa: S101  # the only sleepers
            self._settle(sleeper, cause)

    def keep(self, cause: Cause) -> None:
        """Record the progress of the rules that have not fired."""
        holding, self._to_store = list(self._to_store.values()), {}
        for stateful in holding:
            rule = stateful.rule
            if self._is_news(stateful):
                holding_us = stateful.holding_us if rule.terms.holds_for_s else None
                held = rule.holding(holding_us, self._seen_by(stateful), stateful.memory())
                stateful.rule = self._pending.record(rule, held, cause)

    def end_commit(self) -> None:
        """Wake the rules that are ahead of this endpoint: no further price may come for them."""
        held_up, self._held_up = self._held_up, {}
        for rule_id, now_us in held_up.items():
            if stateful := self._by_id.get(rule_id):
                self._clock.wake(stateful, stateful.rule.ready_at_us(now_us))

    def as_seen(self, change: Transition) -> Transition:
        """``change`` with everything taken by now recorded in the state of the rule."""
        after = change.after
        stateful = self._by_id.get(after.id)
        if stateful is None or stateful.rule is not after:
            return change
        state = msgspec.structs.replace(after.state, seen=self._seen_by(stateful), legs=stateful.memory())
        stateful.rule = msgspec.structs.replace(after, state=state)
        return change.ending_as(stateful.rule)

    def _is_news(self, stateful: StatefulRule) -> bool:
        """Whether its progress differs from what is stored."""
        state = stateful.rule.state
        holds = stateful.rule.terms.holds_for_s and stateful.holding_us != state.holding_us
        return bool(holds) or stateful.memory() != state.legs

    def _seen_by(self, stateful: StatefulRule) -> dict[str, int]:
        keys = {threshold.series.key for tree in stateful.trees.values() for threshold in tree.thresholds()}
        return self._pending.seen_by(stateful.rule, keys)

    def _build_in_market(self, stateful: StatefulRule, feed: PriceSeries) -> None:
        rule = stateful.rule
        if not is_per_market(rule.condition) or feed.market is None:
            return
        if rule.exchange in (None, feed.market.exchange):
            self._build_tree(stateful, feed)

    def _build_tree(self, stateful: StatefulRule, feed: PriceSeries | None) -> None:
        rule = stateful.rule
        place = feed.market_id if feed else 0
        builder = ConditionTreeBuilder(
            self._market_state,
            self._market_state.pair(rule.symbol),
            feed,
            owner=stateful,
            hysteresis=rule.terms.hysteresis,
            was_met=rule.state.waiting or rule.state.holding_us is not None,
            memory=stateful.remembered(place),
        )
        stateful.trees[place] = builder.build(rule.condition)

    def _settle(self, stateful: StatefulRule, cause: Cause) -> None:
        for tree in stateful.trees.values():
            tree.settle()
        met = self._met(stateful)
        is_met = len(met) >= stateful.rule.terms.confirmed_on
        fires = False
        if not self._pending.may_change(stateful.rule, cause) or self._is_ahead(stateful, cause, met):
            self._leave_unsettled(stateful)
            if stateful.rule.state.seen:
                self._held_up[stateful.rule.id] = cause.now_us
        else:
            if stateful.rule.state.waiting:
                self._perhaps_rearm(stateful, cause, is_met=is_met)
            if not stateful.rule.state.waiting:
                fires = self._is_due(stateful, cause, met, is_met=is_met)
            if self._is_news(stateful):
                self._to_store[stateful.rule.id] = stateful
        for tree in stateful.trees.values():
            tree.clear()
        if stateful.rule.terms.confirmed_on > 1 and any(tree.is_met() for tree in stateful.trees.values()):
            # Each price, not only those that pass a level, shows whether the other exchanges are fresh.
            self._leave_unsettled(stateful)
        if fires:
            self._fire(stateful, cause, met)

    def _is_ahead(self, stateful: StatefulRule, cause: Cause, met: list[int]) -> bool:
        """Whether it is ahead of the prices here, unless the price that comes now meets it by itself."""
        if stateful.is_ahead and self._pending.is_past(stateful.rule):
            stateful.is_ahead = False
        return stateful.is_ahead and (stateful.rule.terms.confirmed_on > 1 or cause.market_id not in met)

    def _perhaps_rearm(self, stateful: StatefulRule, cause: Cause, *, is_met: bool) -> None:
        rule = stateful.rule
        rearms_at_us = stateful.rule.rearms_at_us
        if rearms_at_us is not None:
            if cause.ts_us < rearms_at_us:
                self._await_candle(stateful, rearms_at_us)
                return
        elif is_met:
            return
        rearmed = rule.rearmed(cause.now_us, self._seen_by(stateful))
        stateful.rule = self._pending.record(rule, rearmed, cause)

    def _is_due(self, stateful: StatefulRule, cause: Cause, met: list[int], *, is_met: bool) -> bool:
        rule = stateful.rule
        if not is_met:
            stateful.holding_us = None
        elif stateful.holding_us is None:
            stateful.holding_us = cause.now_us
        if not is_met or stateful.holding_us is None:
            return False
        due_us = max(stateful.holding_us + rule.terms.holds_for_s * SECOND_US, rule.ready_at_us(cause.now_us))
        if due_us > cause.now_us:
            self._clock.wake(stateful, due_us)
            return False
        if cause.market_id and cause.market_id not in met and 0 not in stateful.trees:
            self._leave_unsettled(stateful)
            return False
        return True

    def _fire(self, stateful: StatefulRule, cause: Cause, met: list[int]) -> None:
        rule = stateful.rule
        still_met = len(self._met(stateful)) >= rule.terms.confirmed_on
        after = rule.fired(cause.now_us, self._seen_by(stateful), ts_us=cause.ts_us, is_pulse=not still_met)
        firing = self._firing(stateful, cause, met)
        stateful.holding_us = None
        after = self._pending.record(rule, after, cause, firing)
        if after.armed and not after.state.paused:
            stateful.rule = after
            if (at_us := stateful.rule.rearms_at_us) is not None:
                self._await_candle(stateful, at_us)
        else:
            self.pop(rule.id)
            self._clock.forget_end(rule)

    def _firing(self, stateful: StatefulRule, cause: Cause, met: list[int]) -> Firing:
        rule = stateful.rule
        exchange, price = cause.exchange, cause.price
        if price is None:
            feed = self._place(rule, met)
            exchange, price = feed.market.exchange if feed.market else None, self._of_kind(rule, feed).last
        value = stateful.value(cause, met)
        return Firing(rule, exchange, price, cause.ts_us, cause.trade_id, value, detail=cause.detail)

    def _place(self, rule: Rule, met: list[int]) -> PriceSeries:
        """The prices to report if no price fired: of a market that meets the condition, or of the pair."""
        for market_id in met:
            if market_id in self._market_state.markets:
                return self._market_state.markets[market_id]
        pair = self._market_state.pair(rule.symbol)
        if getattr(rule.condition, "source", None) is Source.AVERAGE:
            return pair.average
        if rule.exchange in pair.markets:
            return pair.markets[rule.exchange]
        if pair.average.last is not None or not pair.markets:
            return pair.average
        return max(pair.markets.values(), key=lambda feed: feed.last_us)

    def _of_kind(self, rule: Rule, feed: PriceSeries) -> PriceSeries:
        """The prices that ``rule`` is evaluated on: those of ``feed``, or the closes of its candles."""
        interval = getattr(rule.condition, "interval", None)
        if getattr(rule.condition, "source", None) is not Source.CANDLE or interval is None:
            return feed
        return self._market_state.closes(feed, interval)

    def _met(self, stateful: StatefulRule) -> list[int]:
        """The places where the condition is met by prices that are fresh."""
        met = [place for place, tree in stateful.trees.items() if tree.is_met()]
        rule = stateful.rule
        if rule.terms.confirmed_on == 1 or not met or 0 in stateful.trees or is_market_health(rule.condition):
            return met
        last_us = {
            place: self._of_kind(rule, self._market_state.markets[place]).last_us for place in stateful.trees
        }
        newest_us = max(last_us.values())
        return [place for place in met if last_us[place] >= newest_us - FRESH_US]

    def _await_candle(self, stateful: StatefulRule, at_us: int | None) -> None:
        """Have a rule evaluated on the first price from ``at_us`` on; None: cancel that."""
        if at_us is not None and is_polled(stateful.rule.condition):
            self._clock.wake(stateful, at_us)
            return
        before_us, stateful.candle_us = stateful.candle_us, at_us
        for place in stateful.waits_at():
            candles = self._candles.setdefault(place, SortedList())
            if before_us is not None:
                candles.discard((before_us, stateful.number, stateful))
            if at_us is not None:
                candles.add((at_us, stateful.number, stateful))

    def _leave_unsettled(self, stateful: StatefulRule) -> None:
        for place in stateful.waits_at():
            self.unsettled.setdefault(place, {})[stateful.rule.id] = stateful
