"""The rule engine: prices in, firings out. Pure, and the same for what happens and for what has happened.

Most rules wait for one price and fire on the first trade that reaches it: those are single leaves on the
ladder of their market or pair. All others are watchers, with a tree for each market they watch. What a
rule comes to is told as a ``Transition``, which somebody else has to claim.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from math import inf

import msgspec
from sortedcontainers import SortedList

from app.alerts.feeds import PriceFeed, Reading, World
from app.alerts.ladder import Leaf
from app.alerts.trees import Node, Planter, needs_market
from coinwatch.alerts import Above, All, Any, Below, Crosses, Firing, Rule, Source, Transition
from coinwatch.records import Market, Symbol, Trade
from coinwatch.times import MINUTE_US, SECOND_US

FRESH_US = 5 * MINUTE_US
"""An exchange whose last trade is older than this against the newest confirms nothing."""

VALUE_DIGITS = 6

_numbers = itertools.count()


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What made a rule be looked at."""

    now_us: int
    """The database's clock."""
    ts_us: int
    """The time of the price."""
    feed: str
    """Empty for the clock."""
    seq: int
    exchange: str | None = None
    price: float | None = None
    trade_id: int | None = None
    market_id: int = 0
    """Where the price is of one market."""


class _Watcher:
    """A rule that needs more than one price, and how far it is."""

    __slots__ = ("holding_us", "number", "rule", "trees", "wake_us")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.trees: dict[int, Node] = {}
        """By market id; 0: the pair as a whole."""
        self.holding_us = rule.state.holding_us
        """Since when its condition is met."""
        self.wake_us: int | None = None
        self.number = next(_numbers)


Allow = Callable[[Rule, Cause], bool]


class Machine:
    """Holds rules and what is known of their markets; takes prices and readings in order."""

    def __init__(self, allow: Allow | None = None) -> None:
        """``allow``: whether a rule may be changed by something; None: by all that is new to it."""
        self.allow = allow
        self.world = World()
        self._plain: dict[int, Leaf] = {}
        self._watchers: dict[int, _Watcher] = {}
        self._watching: dict[Symbol, dict[int, _Watcher]] = {}
        self._unsettled: dict[Symbol, dict[int, _Watcher]] = {}
        self._to_store: dict[int, _Watcher] = {}
        self._wakes: SortedList = SortedList()
        self._ends: SortedList = SortedList()
        self._read_us: dict[str, int] = {}
        """By reading, as of when it was taken last."""
        self._changes: dict[int, Transition] = {}

    def __len__(self) -> int:
        return len(self._plain) + len(self._watchers)

    def get(self, rule_id: int) -> Rule | None:
        if leaf := self._plain.get(rule_id):
            rule: Rule = leaf.owner
            return rule
        watcher = self._watchers.get(rule_id)
        return watcher.rule if watcher else None

    def put(self, rule: Rule, now_us: int) -> None:
        """Watch for ``rule`` as it is now, in place of what was known of it."""
        self.remove(rule.id)
        if not rule.armed or rule.state.paused:
            return
        if is_plain(rule, now_us):
            self._add_end(rule)
            self._put_plain(rule)
        else:
            self._hold(rule, now_us)

    def remove(self, rule_id: int) -> None:
        """Watch for it no more. Unknown ids are fine."""
        self._changes.pop(rule_id, None)
        self._take_out(rule_id)

    def rules(self) -> Iterator[Rule]:
        for leaf in self._plain.values():
            yield leaf.owner
        for watcher in self._watchers.values():
            yield watcher.rule

    def watchers_of(self, symbol: Symbol) -> Iterator[Rule]:
        """The rules of a pair that need more than one price."""
        for watcher in self._watching.get(symbol, {}).values():
            yield watcher.rule

    def plain_within(self, feed: PriceFeed, low: float, high: float) -> Iterator[Rule]:
        """The rules for a single price that prices from ``low`` to ``high`` reach."""
        for series in (feed.price, self.world.pair(feed.symbol).anywhere):
            for price in (low, high):
                for leaf in series.ladder.passed(price):
                    if leaf.leaves_when_on:
                        yield leaf.owner

    def meet(self, market_id: int, market: Market) -> PriceFeed:
        """The feed of a market; the first time, the rules that watch it begin to."""
        known = self.world.markets.get(market_id)
        if known is not None:
            return known
        feed = self.world.market(market_id, market)
        for watcher in self._watching.get(market.symbol, {}).values():
            self._grow(watcher, feed)
        return feed

    def bounds(self, feed: PriceFeed) -> tuple[float, float]:
        """Prices of a commit from the first or up to the second change nothing but the last price."""
        ladders = feed.price.ladder, self.world.pair(feed.symbol).anywhere.ladder
        return (
            max(ladder.highest_falling for ladder in ladders),
            min(ladder.lowest_rising for ladder in ladders),
        )

    def needs_trades(self, feed: PriceFeed, low: float, high: float) -> bool:
        """Whether a commit of prices from ``low`` to ``high`` must be looked at trade by trade."""
        falling, rising = self.bounds(feed)
        if low <= falling or high >= rising or feed.needs_every_trade:
            return True
        pair = self.world.pair(feed.symbol)
        return bool(pair.spreads) or bool(self._unsettled.get(feed.symbol))

    def trade(self, feed: PriceFeed, trade: Trade, seq: int, now_us: int) -> None:
        """The next trade of a market, from commit ``seq``."""
        feed.seq = max(feed.seq, seq)
        pair = self.world.pair(feed.symbol)
        touched: list[Leaf] = []
        feed.take(trade.ts_us, trade.price, trade.amount, touched)
        pair.anywhere.set(trade.price, touched)
        feed.compare(pair.average, touched)
        pair.compare(trade.market.exchange, touched)
        if touched or self._unsettled:
            cause = Cause(
                now_us=now_us,
                ts_us=trade.ts_us,
                feed=feed.key,
                seq=seq,
                exchange=trade.market.exchange,
                price=trade.price,
                trade_id=trade.trade_id,
                market_id=feed.market_id,
            )
            self._deal(touched, cause, feed.symbol)

    def moved(self, feed: PriceFeed, last: float, last_us: int, seq: int) -> None:
        """A commit that needs not be looked at trade by trade has ended at ``last``."""
        feed.seq = max(feed.seq, seq)
        feed.take(last_us, last, 0.0, [])
        self.world.pair(feed.symbol).anywhere.value = last

    def average(self, symbol: Symbol, price: float, ts_us: int, now_us: int) -> None:
        """The average of a pair over its exchanges at a second."""
        pair = self.world.pairs.get(symbol)
        if pair is None:
            return
        feed = pair.average
        if ts_us <= feed.seq:
            return
        feed.seq = ts_us
        touched: list[Leaf] = []
        feed.take(ts_us, price, 0.0, touched)
        for market in pair.markets.values():
            market.compare(feed, touched)
        if touched or self._unsettled:
            self._deal(touched, Cause(now_us, ts_us, feed.key, ts_us, None, price), symbol)

    def close(self, feed: PriceFeed, price: float, close_us: int, now_us: int) -> None:
        """A candle of ``feed`` (of its closes) has closed at ``close_us``."""
        if close_us <= feed.seq:
            return
        feed.seq = self._read_us[feed.key] = close_us
        touched: list[Leaf] = []
        feed.take(close_us, price, 0.0, touched)
        if touched or self._unsettled:
            exchange = feed.market.exchange if feed.market else None
            cause = Cause(now_us, close_us, feed.key, close_us, exchange, price, market_id=feed.market_id)
            self._deal(touched, cause, feed.symbol)

    def read(
        self, reading: Reading, value: float | None, ts_us: int, now_us: int, seq: int | None = None
    ) -> None:
        """A number read from the warehouse, as of ``ts_us``; ``seq`` where its order is another."""
        series = self.world.reading(reading)
        seq = ts_us if seq is None else seq
        self._read_us[series.key] = seq
        touched: list[Leaf] = []
        series.set(value, touched)
        if touched:
            self._deal(touched, Cause(now_us, ts_us, series.key, seq), None)

    @property
    def next_due_us(self) -> float:
        """When something is due by the clock; infinite for never."""
        return min((float(queue[0][0]) for queue in (self._ends, self._wakes) if queue), default=inf)

    def tick(self, now_us: int) -> None:
        """Do what is due by the clock."""
        while self._ends and self._ends[0][0] <= now_us:
            _, rule_id = self._ends[0]
            if rule := self.get(rule_id):
                self._take_out(rule_id)
                self._record(rule, rule.ended(), Cause(now_us, now_us, "", now_us))
        cause = Cause(now_us, now_us, "", now_us)
        while self._wakes and self._wakes[0][0] <= now_us:
            watcher = self._wakes.pop(0)[2]
            watcher.wake_us = None
            self._settle(watcher, cause)
        holding, self._to_store = list(self._to_store.values()), {}
        for watcher in holding:
            rule = watcher.rule
            if rule.id in self._watchers and watcher.holding_us != rule.state.holding_us:
                watcher.rule = self._record(rule, rule.holding(watcher.holding_us, self.seen_by(rule)), cause)

    def drain(self) -> list[Transition]:
        """What has come of the rules since the last time. Ask at the end of a commit, not within."""
        changes, self._changes = self._changes, {}
        return [self._as_seen(change) for change in changes.values()]

    def _as_seen(self, change: Transition) -> Transition:
        """``change`` with all that was taken by now as part of what the rule has come to."""
        after = change.after
        watcher = self._watchers.get(after.id)
        if watcher is None or watcher.rule is not after:
            return change
        state = msgspec.structs.replace(after.state, seen=self.seen_by(after))
        watcher.rule = msgspec.structs.replace(after, state=state)
        return msgspec.structs.replace(change, after=watcher.rule)

    def seen_by(self, rule: Rule) -> dict[str, int]:
        """The last commits of all that ``rule`` is looked at for."""
        pair = self.world.pairs.get(rule.symbol)
        if pair is None:
            return {}
        feeds = [feed for exchange, feed in pair.markets.items() if rule.exchange in (None, exchange)]
        closes = (feed for feed in self.world.candles.values() if feed.symbol == rule.symbol)
        seen = {feed.key: feed.seq for feed in (*feeds, pair.average, *closes) if feed.seq}
        if watcher := self._watchers.get(rule.id):
            keys = {leg.series.key for tree in watcher.trees.values() for leg in tree.legs()}
            seen |= {key: self._read_us[key] for key in keys & self._read_us.keys()}
        return seen

    def _put_plain(self, rule: Rule) -> None:
        condition = rule.condition
        assert isinstance(condition, Above | Below)  # noqa: S101  # see _is_plain
        pair = self.world.pair(rule.symbol)
        series = pair.anywhere if rule.exchange is None else pair.price_on(rule.exchange)
        price = condition.price
        leaf = Leaf(
            rule, series, on=price, off=price, is_up=isinstance(condition, Above), leaves_when_on=True
        )
        leaf.start(is_on=False)
        self._plain[rule.id] = leaf

    def _put_watcher(self, rule: Rule, now_us: int) -> None:
        watcher = _Watcher(rule)
        self._watchers[rule.id] = watcher
        self._watching.setdefault(rule.symbol, {})[rule.id] = watcher
        if needs_market(rule.condition):
            for feed in self.world.pair(rule.symbol).markets.values():
                self._grow(watcher, feed)
        else:
            self._plant(watcher, None)
        self._leave_unsettled(watcher)
        if (at_us := self._rearms_at(rule)) is not None:
            self._wake(watcher, at_us)
        elif (ready_us := rule.ready_at_us(now_us)) > now_us:
            self._wake(watcher, ready_us)

    def _grow(self, watcher: _Watcher, feed: PriceFeed) -> None:
        rule = watcher.rule
        if not needs_market(rule.condition) or feed.market is None:
            return
        if rule.exchange in (None, feed.market.exchange):
            self._plant(watcher, feed)

    def _plant(self, watcher: _Watcher, feed: PriceFeed | None) -> None:
        rule = watcher.rule
        planter = Planter(
            self.world,
            self.world.pair(rule.symbol),
            feed,
            owner=watcher,
            hysteresis=rule.terms.hysteresis,
            was_met=rule.state.waiting or rule.state.holding_us is not None,
        )
        watcher.trees[feed.market_id if feed else 0] = planter.grow(rule.condition)

    def _deal(self, touched: list[Leaf], cause: Cause, symbol: Symbol | None) -> None:
        watchers: dict[int, _Watcher] = {}
        for leaf in touched:
            if leaf.leaves_when_on:
                self._reach(leaf, cause)
            else:
                watchers[leaf.owner.number] = leaf.owner
        if symbol is not None:
            for watcher in self._unsettled.pop(symbol, {}).values():
                watchers[watcher.number] = watcher
        for watcher in watchers.values():
            if watcher.rule.id in self._watchers:
                self._settle(watcher, cause)

    def _reach(self, leaf: Leaf, cause: Cause) -> None:
        rule: Rule = leaf.owner
        if not self._may_change(rule, cause):
            leaf.start(is_on=False)
            return
        self._take_out(rule.id)
        firing = Firing(rule, cause.exchange, cause.price, cause.ts_us, cause.trade_id)
        after = rule.fired(cause.now_us, self.seen_by(rule))
        self._hold(self._record(rule, after, cause, firing), cause.now_us)

    def _settle(self, watcher: _Watcher, cause: Cause) -> None:
        for tree in watcher.trees.values():
            tree.settle()
        met = self._met(watcher)
        is_met = len(met) >= watcher.rule.terms.confirmed_on
        fires = False
        if not self._may_change(watcher.rule, cause):
            self._leave_unsettled(watcher)
        else:
            if watcher.rule.state.waiting:
                self._perhaps_rearm(watcher, cause, is_met=is_met)
            if not watcher.rule.state.waiting:
                fires = self._is_due(watcher, cause, met, is_met=is_met)
        for tree in watcher.trees.values():
            tree.clear()
        if fires:
            self._fire(watcher, cause, met)

    def _perhaps_rearm(self, watcher: _Watcher, cause: Cause, *, is_met: bool) -> None:
        rule = watcher.rule
        rearms_at_us = self._rearms_at(rule)
        if rearms_at_us is not None:
            if cause.ts_us < rearms_at_us:
                self._wake(watcher, rearms_at_us)
                return
        elif is_met:
            return
        watcher.rule = self._record(rule, rule.rearmed(cause.now_us, self.seen_by(rule)), cause)

    def _is_due(self, watcher: _Watcher, cause: Cause, met: list[int], *, is_met: bool) -> bool:
        rule = watcher.rule
        if not is_met:
            watcher.holding_us = None
        elif watcher.holding_us is None:
            watcher.holding_us = cause.now_us
        if rule.terms.holds_for_s and watcher.holding_us != rule.state.holding_us:
            self._to_store[rule.id] = watcher
        if not is_met or watcher.holding_us is None:
            return False
        due_us = max(watcher.holding_us + rule.terms.holds_for_s * SECOND_US, rule.ready_at_us(cause.now_us))
        if due_us > cause.now_us:
            self._wake(watcher, due_us)
            return False
        if cause.market_id in watcher.trees and cause.market_id not in met and cause.feed:
            self._leave_unsettled(watcher)
            return False
        return True

    def _fire(self, watcher: _Watcher, cause: Cause, met: list[int]) -> None:
        rule = watcher.rule
        still_met = len(self._met(watcher)) >= rule.terms.confirmed_on
        after = rule.fired(cause.now_us, self.seen_by(rule), is_pulse=not still_met)
        firing = self._firing(watcher, cause, met)
        watcher.holding_us = None
        after = self._record(rule, after, cause, firing)
        if after.armed and not after.state.paused:
            watcher.rule = after
            if (at_us := self._rearms_at(after)) is not None:
                self._wake(watcher, at_us)
        else:
            self._take_out(rule.id)

    def _firing(self, watcher: _Watcher, cause: Cause, met: list[int]) -> Firing:
        rule = watcher.rule
        exchange, price = cause.exchange, cause.price
        if price is None:
            feed = self._place(rule, met)
            exchange, price = feed.market.exchange if feed.market else None, feed.last
        return Firing(rule, exchange, price, cause.ts_us, cause.trade_id, self._value(watcher, cause, met))

    def _place(self, rule: Rule, met: list[int]) -> PriceFeed:
        """Whose price is told where none has fired: of a market that meets the condition, or of the pair."""
        for market_id in met:
            if market_id in self.world.markets:
                return self.world.markets[market_id]
        pair = self.world.pair(rule.symbol)
        if rule.exchange in pair.markets:
            return pair.markets[rule.exchange]
        if pair.average.last is not None or not pair.markets:
            return pair.average
        return max(pair.markets.values(), key=lambda feed: feed.last_us)

    def _value(self, watcher: _Watcher, cause: Cause, met: list[int]) -> float | None:
        """What was measured, where the rule has one condition that measures more than a price."""
        condition = watcher.rule.condition
        if isinstance(condition, All | Any | Above | Below | Crosses):
            return None
        tree = watcher.trees[cause.market_id if cause.market_id in met else met[0]]
        legs = list(tree.legs())
        leg = next((leg for leg in legs if leg.is_on), legs[0])
        return None if leg.series.value is None else round(leg.series.value, VALUE_DIGITS)

    def _met(self, watcher: _Watcher) -> list[int]:
        """The places where the condition is met, as far as they are heard from."""
        met = [place for place, tree in watcher.trees.items() if tree.is_met()]
        if watcher.rule.terms.confirmed_on == 1 or not met or 0 in watcher.trees:
            return met
        newest_us = max(self.world.markets[place].last_us for place in watcher.trees)
        return [place for place in met if self.world.markets[place].last_us >= newest_us - FRESH_US]

    def _may_change(self, rule: Rule, cause: Cause) -> bool:
        if rule.terms.expires_at_us is not None and cause.now_us >= rule.terms.expires_at_us:
            return False
        seen = rule.state.seen
        if cause.feed:
            if cause.seq <= seen.get(cause.feed, -1) and rule.id not in self._changes:
                return False
            if cause.seq in rule.state.late:
                return False
        elif seen and not self._is_past(seen):
            return False
        return self.allow is None or self.allow(rule, cause)

    def _is_past(self, seen: Mapping[str, int]) -> bool:
        """Whether all that was ``seen`` elsewhere was taken here, too: before, the clock decides nothing."""
        return all(self._seq_of(feed) >= seq for feed, seq in seen.items())

    def _seq_of(self, key: str) -> int:
        if key.isdecimal():
            feed = self.world.markets.get(int(key))
            return feed.seq if feed else 0
        if key.startswith("average:"):
            pair = self.world.pairs.get(Symbol.canonical(key.removeprefix("average:")))
            return pair.average.seq if pair else 0
        return self._read_us.get(key, 0)

    def _record(self, before: Rule, after: Rule, cause: Cause, *firings: Firing) -> Rule:
        """Note what ``before`` has come to; returns it as it will be stored."""
        if known := self._changes.get(before.id):
            before, firings = known.before, known.firings + firings
        else:
            after = msgspec.structs.replace(after, state_no=before.state_no + 1)
        self._changes[before.id] = Transition(before, after, cause.feed, cause.seq, firings)
        return after

    def _hold(self, rule: Rule, now_us: int) -> None:
        """Go on watching for a rule that has changed, if it is not over."""
        if not rule.armed or rule.state.paused:
            return
        self._add_end(rule)
        self._put_watcher(rule, now_us)

    def _take_out(self, rule_id: int) -> None:
        if leaf := self._plain.pop(rule_id, None):
            if not leaf.is_on:
                leaf.series.ladder.remove(leaf)
            self._forget_end(leaf.owner)
        elif watcher := self._watchers.pop(rule_id, None):
            for tree in watcher.trees.values():
                for leg in tree.legs():
                    leg.series.ladder.remove(leg)
            rule = watcher.rule
            self._watching[rule.symbol].pop(rule_id)
            self._unsettled.get(rule.symbol, {}).pop(rule_id, None)
            self._wake(watcher, None)
            self._forget_end(rule)

    def _add_end(self, rule: Rule) -> None:
        if rule.terms.expires_at_us is not None:
            self._ends.add((rule.terms.expires_at_us, rule.id))

    def _forget_end(self, rule: Rule) -> None:
        if rule.terms.expires_at_us is not None:
            self._ends.discard((rule.terms.expires_at_us, rule.id))

    def _leave_unsettled(self, watcher: _Watcher) -> None:
        """Look at it again with the next price of its pair, whatever that is."""
        self._unsettled.setdefault(watcher.rule.symbol, {})[watcher.rule.id] = watcher

    def _wake(self, watcher: _Watcher, at_us: int | None) -> None:
        if watcher.wake_us is not None:
            self._wakes.remove((watcher.wake_us, watcher.number, watcher))
        watcher.wake_us = at_us
        if at_us is not None:
            self._wakes.add((at_us, watcher.number, watcher))

    def _rearms_at(self, rule: Rule) -> int | None:
        """When a rule that fires once per candle and has fired is armed again."""
        candle = rule.terms.candle
        if not rule.state.waiting or candle is None or rule.fired_at_us is None:
            return None
        return candle.floor(rule.fired_at_us) + candle.us


def is_plain(rule: Rule, now_us: int) -> bool:
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
