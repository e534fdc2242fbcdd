"""Rules that need more than one price: how far each is, and what makes it fire or be armed again. Pure."""

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
    """All of these, with a tree of leaves for each market that each of them watches."""

    def __init__(self, world: MarketState, clock: Clock, outcomes: PendingChanges) -> None:
        self._world = world
        self._clock = clock
        self._outcomes = outcomes
        self._by_id: dict[int, StatefulRule] = {}
        self._by_symbol: dict[Symbol, dict[int, StatefulRule]] = {}
        self._confirmed: Counter[Symbol] = Counter()
        """By pair, how many wait for several exchanges at once."""
        self._to_store: dict[int, StatefulRule] = {}
        self._candles: dict[Place, SortedList] = {}
        """By whose next price says more about them, those that wait for a candle to begin."""
        self._held_up: dict[int, int] = {}
        """Rules that have seen more elsewhere than came here yet, and when they were looked at."""
        self.unsettled: dict[Place, dict[int, StatefulRule]] = {}
        """To be looked at with the next trade of their pair, or price of a feed, whatever that is."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Rule]:
        for watcher in self._by_id.values():
            yield watcher.rule

    def get(self, rule_id: int) -> Rule | None:
        watcher = self._by_id.get(rule_id)
        return watcher.rule if watcher else None

    def of(self, symbol: Symbol) -> Iterator[Rule]:
        for watcher in self._by_symbol.get(symbol, {}).values():
            yield watcher.rule

    def is_confirmed(self, symbol: Symbol) -> bool:
        """Whether one of a pair needs several exchanges at once."""
        return self._confirmed[symbol] > 0

    def quiet_until_us(self, symbol: Symbol) -> float:
        """Until when the range of prices shows all that matters; minus infinity where every trade does."""
        if self._confirmed[symbol] > 0 or self.unsettled.get(symbol):
            return -inf
        candles = self._candles.get(symbol)
        return float(candles[0][0]) if candles else inf

    def begin_candles(self, place: Place, ts_us: int) -> None:
        """Those that wait for a candle that has begun by ``ts_us`` are to be looked at."""
        candles = self._candles.get(place)
        while candles and candles[0][0] <= ts_us:
            watcher: StatefulRule = candles.pop(0)[2]
            self.unsettled.setdefault(place, {})[watcher.rule.id] = watcher

    def put(self, rule: Rule, now_us: int) -> None:
        watcher = StatefulRule(rule)
        self._confirmed[rule.symbol] += rule.terms.confirmed_on > 1
        self._by_id[rule.id] = watcher
        self._by_symbol.setdefault(rule.symbol, {})[rule.id] = watcher
        if is_per_market(rule.condition):
            for feed in self._world.pair(rule.symbol).markets.values():
                self._grow(watcher, feed)
        else:
            self._plant(watcher, None)
        self._leave_unsettled(watcher)
        due_us = rule.ready_at_us(now_us)
        holds_since_us = rule.state.holding_us
        if holds_since_us is not None:
            due_us = max(due_us, holds_since_us + rule.terms.holds_for_s * SECOND_US)
        if (at_us := watcher.rule.rearms_at_us) is not None:
            self._await_candle(watcher, at_us)
        elif due_us > now_us or holds_since_us is not None or is_polled(rule.condition):
            self._clock.wake(watcher, due_us)

    def pop(self, rule_id: int) -> Rule | None:
        """Watch for it no more; returns it as it was, None for none of these."""
        watcher = self._by_id.pop(rule_id, None)
        if watcher is None:
            return None
        self._to_store.pop(rule_id, None)
        for tree in watcher.trees.values():
            for leg in tree.legs():
                leg.series.ladder.remove(leg)
        rule = watcher.rule
        self._confirmed[rule.symbol] -= rule.terms.confirmed_on > 1
        self._by_symbol[rule.symbol].pop(rule_id)
        self._await_candle(watcher, None)
        for place in watcher.waits_at():
            self.unsettled.get(place, {}).pop(rule_id, None)
        watcher.trees.clear()  # they refer to it
        self._clock.wake(watcher, None)
        return rule

    def tidy(self) -> None:
        """Let go of places where nobody waits any more."""
        self.unsettled = {place: waiting for place, waiting in self.unsettled.items() if waiting}
        self._candles = {place: waiting for place, waiting in self._candles.items() if waiting}
        self._by_symbol = {symbol: watching for symbol, watching in self._by_symbol.items() if watching}
        self._confirmed = +self._confirmed

    def end(self) -> None:
        """Let go of all: a watcher and its trees refer to each other, and so do leaves and ladders."""
        for watcher in self._by_id.values():
            for tree in watcher.trees.values():
                for leg in tree.legs():
                    leg.series.ladder.clear()
            watcher.trees.clear()

    def met(self, feed: PriceSeries) -> None:
        """A market that was not known: those that watch its pair grow a tree for it."""
        for watcher in self._by_symbol.get(feed.symbol, {}).values():
            self._grow(watcher, feed)

    def look_at(self, watchers: Iterable[StatefulRule], cause: Cause, symbol: Symbol | None) -> None:
        """Something of ``watchers`` was turned over, by a trade of ``symbol`` (None: by anything else)."""
        touched = {watcher.number: watcher for watcher in watchers}
        for place in (cause.feed, symbol):
            if place is not None:
                for watcher in self.unsettled.pop(place, {}).values():
                    touched[watcher.number] = watcher
        for watcher in touched.values():
            if watcher.rule.id in self._by_id:
                self._settle(watcher, cause)

    def wake(self, cause: Cause) -> None:
        """Look at those for whom it is time."""
        for sleeper in self._clock.woken(cause.now_us):
            assert isinstance(sleeper, StatefulRule)  # noqa: S101  # nobody else sleeps
            self._settle(sleeper, cause)

    def keep(self, cause: Cause) -> None:
        """Have stored how far those have come that have not fired."""
        holding, self._to_store = list(self._to_store.values()), {}
        for watcher in holding:
            rule = watcher.rule
            if self._is_news(watcher):
                holding_us = watcher.holding_us if rule.terms.holds_for_s else None
                held = rule.holding(holding_us, self._seen_by(watcher), watcher.memory())
                watcher.rule = self._outcomes.record(rule, held, cause)

    def end_commit(self) -> None:
        """It may be that no price comes after what was seen elsewhere, and yet a rule is due."""
        held_up, self._held_up = self._held_up, {}
        for rule_id, now_us in held_up.items():
            if watcher := self._by_id.get(rule_id):
                self._clock.wake(watcher, watcher.rule.ready_at_us(now_us))

    def as_seen(self, change: Transition) -> Transition:
        """``change`` with all that was taken by now as part of what the rule has come to."""
        after = change.after
        watcher = self._by_id.get(after.id)
        if watcher is None or watcher.rule is not after:
            return change
        state = msgspec.structs.replace(after.state, seen=self._seen_by(watcher), legs=watcher.memory())
        watcher.rule = msgspec.structs.replace(after, state=state)
        return change.ending_as(watcher.rule)

    def _is_news(self, watcher: StatefulRule) -> bool:
        """Whether it has come further than what is stored of it, without having fired."""
        state = watcher.rule.state
        holds = watcher.rule.terms.holds_for_s and watcher.holding_us != state.holding_us
        return bool(holds) or watcher.memory() != state.legs

    def _seen_by(self, watcher: StatefulRule) -> dict[str, int]:
        keys = {leg.series.key for tree in watcher.trees.values() for leg in tree.legs()}
        return self._outcomes.seen_by(watcher.rule, keys)

    def _grow(self, watcher: StatefulRule, feed: PriceSeries) -> None:
        rule = watcher.rule
        if not is_per_market(rule.condition) or feed.market is None:
            return
        if rule.exchange in (None, feed.market.exchange):
            self._plant(watcher, feed)

    def _plant(self, watcher: StatefulRule, feed: PriceSeries | None) -> None:
        rule = watcher.rule
        place = feed.market_id if feed else 0
        planter = ConditionTreeBuilder(
            self._world,
            self._world.pair(rule.symbol),
            feed,
            owner=watcher,
            hysteresis=rule.terms.hysteresis,
            was_met=rule.state.waiting or rule.state.holding_us is not None,
            memory=watcher.remembered(place),
        )
        watcher.trees[place] = planter.build(rule.condition)

    def _settle(self, watcher: StatefulRule, cause: Cause) -> None:
        for tree in watcher.trees.values():
            tree.settle()
        met = self._met(watcher)
        is_met = len(met) >= watcher.rule.terms.confirmed_on
        fires = False
        if not self._outcomes.may_change(watcher.rule, cause) or self._is_ahead(watcher, cause, met):
            self._leave_unsettled(watcher)
            if watcher.rule.state.seen:
                self._held_up[watcher.rule.id] = cause.now_us
        else:
            if watcher.rule.state.waiting:
                self._perhaps_rearm(watcher, cause, is_met=is_met)
            if not watcher.rule.state.waiting:
                fires = self._is_due(watcher, cause, met, is_met=is_met)
            if self._is_news(watcher):
                self._to_store[watcher.rule.id] = watcher
        for tree in watcher.trees.values():
            tree.clear()
        if watcher.rule.terms.confirmed_on > 1 and any(tree.is_met() for tree in watcher.trees.values()):
            # Whether the others are heard from is told by each price, not only by those that pass a level.
            self._leave_unsettled(watcher)
        if fires:
            self._fire(watcher, cause, met)

    def _is_ahead(self, watcher: StatefulRule, cause: Cause, met: list[int]) -> bool:
        """Whether it is as it was later than the prices are here; a price alone may still meet it."""
        if watcher.is_ahead and self._outcomes.is_past(watcher.rule):
            watcher.is_ahead = False
        return watcher.is_ahead and (watcher.rule.terms.confirmed_on > 1 or cause.market_id not in met)

    def _perhaps_rearm(self, watcher: StatefulRule, cause: Cause, *, is_met: bool) -> None:
        rule = watcher.rule
        rearms_at_us = watcher.rule.rearms_at_us
        if rearms_at_us is not None:
            if cause.ts_us < rearms_at_us:
                self._await_candle(watcher, rearms_at_us)
                return
        elif is_met:
            return
        rearmed = rule.rearmed(cause.now_us, self._seen_by(watcher))
        watcher.rule = self._outcomes.record(rule, rearmed, cause)

    def _is_due(self, watcher: StatefulRule, cause: Cause, met: list[int], *, is_met: bool) -> bool:
        rule = watcher.rule
        if not is_met:
            watcher.holding_us = None
        elif watcher.holding_us is None:
            watcher.holding_us = cause.now_us
        if not is_met or watcher.holding_us is None:
            return False
        due_us = max(watcher.holding_us + rule.terms.holds_for_s * SECOND_US, rule.ready_at_us(cause.now_us))
        if due_us > cause.now_us:
            self._clock.wake(watcher, due_us)
            return False
        if cause.market_id and cause.market_id not in met and 0 not in watcher.trees:
            self._leave_unsettled(watcher)
            return False
        return True

    def _fire(self, watcher: StatefulRule, cause: Cause, met: list[int]) -> None:
        rule = watcher.rule
        still_met = len(self._met(watcher)) >= rule.terms.confirmed_on
        after = rule.fired(cause.now_us, self._seen_by(watcher), ts_us=cause.ts_us, is_pulse=not still_met)
        firing = self._firing(watcher, cause, met)
        watcher.holding_us = None
        after = self._outcomes.record(rule, after, cause, firing)
        if after.armed and not after.state.paused:
            watcher.rule = after
            if (at_us := watcher.rule.rearms_at_us) is not None:
                self._await_candle(watcher, at_us)
        else:
            self.pop(rule.id)
            self._clock.forget_end(rule)

    def _firing(self, watcher: StatefulRule, cause: Cause, met: list[int]) -> Firing:
        rule = watcher.rule
        exchange, price = cause.exchange, cause.price
        if price is None:
            feed = self._place(rule, met)
            exchange, price = feed.market.exchange if feed.market else None, self._of_kind(rule, feed).last
        value = watcher.value(cause, met)
        return Firing(rule, exchange, price, cause.ts_us, cause.trade_id, value, detail=cause.detail)

    def _place(self, rule: Rule, met: list[int]) -> PriceSeries:
        """Whose price is told where none has fired: of a market that meets the condition, or of the pair."""
        for market_id in met:
            if market_id in self._world.markets:
                return self._world.markets[market_id]
        pair = self._world.pair(rule.symbol)
        if getattr(rule.condition, "source", None) is Source.AVERAGE:
            return pair.average
        if rule.exchange in pair.markets:
            return pair.markets[rule.exchange]
        if pair.average.last is not None or not pair.markets:
            return pair.average
        return max(pair.markets.values(), key=lambda feed: feed.last_us)

    def _of_kind(self, rule: Rule, feed: PriceSeries) -> PriceSeries:
        """The prices of the kind that ``rule`` looks at: those of ``feed``, or the closes of its candles."""
        interval = getattr(rule.condition, "interval", None)
        if getattr(rule.condition, "source", None) is not Source.CANDLE or interval is None:
            return feed
        return self._world.closes(feed, interval)

    def _met(self, watcher: StatefulRule) -> list[int]:
        """The places where the condition is met, as far as they are heard from."""
        met = [place for place, tree in watcher.trees.items() if tree.is_met()]
        rule = watcher.rule
        if rule.terms.confirmed_on == 1 or not met or 0 in watcher.trees or is_market_health(rule.condition):
            return met
        last_us = {place: self._of_kind(rule, self._world.markets[place]).last_us for place in watcher.trees}
        newest_us = max(last_us.values())
        return [place for place in met if last_us[place] >= newest_us - FRESH_US]

    def _await_candle(self, watcher: StatefulRule, at_us: int | None) -> None:
        """Look at it with the first price from ``at_us`` on; None: no more."""
        if at_us is not None and is_polled(watcher.rule.condition):
            self._clock.wake(watcher, at_us)
            return
        before_us, watcher.candle_us = watcher.candle_us, at_us
        for place in watcher.waits_at():
            candles = self._candles.setdefault(place, SortedList())
            if before_us is not None:
                candles.discard((before_us, watcher.number, watcher))
            if at_us is not None:
                candles.add((at_us, watcher.number, watcher))

    def _leave_unsettled(self, watcher: StatefulRule) -> None:
        for place in watcher.waits_at():
            self.unsettled.setdefault(place, {})[watcher.rule.id] = watcher
