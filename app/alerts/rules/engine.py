"""The rule engine: prices in, firings out. Pure, and the same for what happens and for what has happened.

Most rules wait for one price and fire on the first trade that reaches it: those are single leaves on the
ladder of their market or pair (``plain``). All others are watchers, with a tree for each market they
watch (``watchers``). What a rule comes to is told as a ``Transition``, which somebody else has to claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from math import inf

from app.alerts.rules.market_state import MarketState, PriceSeries, Reading
from app.alerts.rules.pending_changes import Allow, Cause, PendingChanges
from app.alerts.rules.price_triggers import PriceTriggers, is_single_threshold
from app.alerts.rules.stateful_rules import StatefulRules
from app.alerts.rules.threshold_index import Threshold
from app.alerts.rules.timers import Clock
from coinwatch.alerts import Firing, Rule, Transition
from coinwatch.records import Market, Symbol, Trade

__all__ = ["Allow", "Cause", "RuleEngine", "is_single_threshold"]


class RuleEngine:
    """Holds rules and what is known of their markets; takes prices and readings in order."""

    def __init__(self, allow: Allow | None = None) -> None:
        """``allow``: whether a rule may be changed by something; None: by all that is new to it."""
        self.world = MarketState()
        self._clock = Clock()
        self._outcomes = PendingChanges(self.world, allow)
        self._plain = PriceTriggers(self.world)
        self._watchers = StatefulRules(self.world, self._clock, self._outcomes)

    def __len__(self) -> int:
        return len(self._plain) + len(self._watchers)

    @contextmanager
    def allowing(self, allow: Allow) -> Iterator[None]:
        """Within, a rule changes only where ``allow`` returns true for it and the cause."""
        before, self._outcomes.allow = self._outcomes.allow, allow
        try:
            yield
        finally:
            self._outcomes.allow = before

    def learning(self) -> AbstractContextManager[None]:
        """Within, no rule changes: what is applied was known before."""
        return self.allowing(lambda rule, cause: False)

    def learn_price(self, series: PriceSeries, price: float, ts_us: int, seq: int) -> None:
        """Set the last price of ``series``, from commit ``seq``. Call it before rules are put."""
        series.last = series.price.value = price
        series.last_us, series.seq = ts_us, seq

    def learn_average(self, symbol: Symbol, since_us: int, last: tuple[int, float] | None) -> None:
        """Take averages of a pair after ``since_us``, or after ``last``, the last one known (time, price)."""
        average = self.world.pair(symbol).average
        average.seq = since_us
        if last is not None:
            self.learn_price(average, last[1], last[0], last[0])

    def number_anew(self) -> None:
        """Forget the commits that prices came from: those that follow are numbered from 1."""
        for series in self.world.markets.values():
            series.seq = 0

    def taken_through(self, tx: int) -> None:
        """Every commit of trades up to ``tx`` was taken, or was before all that is known here."""
        self._outcomes.taken_through(tx)

    def get(self, rule_id: int) -> Rule | None:
        return self._plain.get(rule_id) or self._watchers.get(rule_id)

    def put(self, rule: Rule, now_us: int) -> None:
        """Watch for ``rule`` as it is now, in place of what was known of it."""
        self.remove(rule.id)
        if not rule.armed or rule.state.paused:
            return
        if is_single_threshold(rule, now_us):
            self._clock.add_end(rule)
            self._plain.put(rule)
        else:
            self._hold(rule, now_us)

    def remove(self, rule_id: int) -> None:
        """Watch for it no more. Unknown ids are fine."""
        self._outcomes.forget(rule_id)
        self._take_out(rule_id)

    def rules(self) -> Iterator[Rule]:
        yield from self._plain
        yield from self._watchers

    def watchers_of(self, symbol: Symbol) -> Iterator[Rule]:
        """The rules of a pair that need more than one price."""
        return self._watchers.of(symbol)

    def plain_within(self, feed: PriceSeries, low: float, high: float) -> Iterator[Rule]:
        """The rules for a single price that prices from ``low`` to ``high`` reach."""
        return self._plain.within(feed, low, high)

    def meet(self, market_id: int, market: Market) -> PriceSeries:
        """The feed of a market; the first time, the rules that watch it begin to."""
        known = self.world.markets.get(market_id)
        if known is not None:
            return known
        feed = self.world.market(market_id, market)
        self._watchers.met(feed)
        return feed

    def bounds(self, feed: PriceSeries) -> tuple[float, float]:
        """Prices of a commit from the first or up to the second change nothing but the last price."""
        ladders = feed.price.ladder, self.world.pair(feed.symbol).anywhere.ladder
        return (
            max(ladder.highest_falling for ladder in ladders),
            min(ladder.lowest_rising for ladder in ladders),
        )

    def quiet_range(self, feed: PriceSeries) -> tuple[float, float, float]:
        """The prices and the time that trades must not reach to change nothing but the last price.

        Nothing else may be due by the clock before that time.
        """
        until_us = self._watchers.quiet_until_us(feed.symbol)
        if feed.needs_every_trade or self.world.pair(feed.symbol).spreads or until_us == -inf:
            return inf, -inf, -inf
        return *self.bounds(feed), until_us

    def needs_every_trade(self, symbol: Symbol) -> bool:
        """Whether a rule of a pair depends on each trade, whatever its price."""
        pair = self.world.pair(symbol)
        return (
            bool(pair.spreads)
            or self._watchers.is_confirmed(symbol)
            or any(series.needs_every_trade for series in pair.markets.values())
        )

    def needs_trades(self, feed: PriceSeries, low: float, high: float, until_us: float = inf) -> bool:
        """Whether a commit of prices from ``low`` to ``high`` must be looked at trade by trade.

        ``until_us``: when its last trade was; infinite where that is not known.
        """
        falling, rising = self.bounds(feed)
        if low <= falling or high >= rising or feed.needs_every_trade:
            return True
        if self.world.pair(feed.symbol).spreads:
            return True
        quiet_until_us = self._watchers.quiet_until_us(feed.symbol)
        return quiet_until_us < inf and quiet_until_us <= until_us

    def trade(self, feed: PriceSeries, trade: Trade, seq: int, now_us: int) -> None:
        """The next trade of a market, from commit ``seq``. What was due by the clock before it is done."""
        self.pass_to(now_us)
        feed.seq = max(feed.seq, seq)
        pair = self.world.pair(feed.symbol)
        touched: list[Threshold] = []
        feed.take(trade.ts_us, trade.price, trade.amount, touched)
        pair.anywhere.set(trade.price, touched)
        feed.compare(pair.average, touched)
        pair.compare(trade.market.exchange, touched)
        self._watchers.begin_candles(feed.symbol, trade.ts_us)
        if touched or self._watchers.unsettled:
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

    def moved(self, feed: PriceSeries, last: float, last_us: int, seq: int) -> None:
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
        touched: list[Threshold] = []
        feed.take(ts_us, price, 0.0, touched)
        for market in pair.markets.values():
            market.compare(feed, touched)
        self._watchers.begin_candles(feed.key, ts_us)
        if touched or self._watchers.unsettled:
            self._deal(touched, Cause(now_us, ts_us, feed.key, ts_us, None, price), None)

    def close(self, feed: PriceSeries, price: float, close_us: int, now_us: int) -> None:
        """A candle of ``feed`` (of its closes) has closed at ``close_us``."""
        if close_us <= feed.seq:
            return
        feed.seq = close_us
        self._outcomes.took(feed.key, close_us)
        touched: list[Threshold] = []
        feed.take(close_us, price, 0.0, touched)
        self._watchers.begin_candles(feed.key, close_us)
        if touched or self._watchers.unsettled:
            exchange = feed.market.exchange if feed.market else None
            cause = Cause(now_us, close_us, feed.key, close_us, exchange, price, market_id=feed.market_id)
            self._deal(touched, cause, None)

    def read(
        self,
        reading: Reading,
        value: float | None,
        ts_us: int,
        now_us: int,
        seq: int | None = None,
        detail: str | None = None,
    ) -> None:
        """A number read from the warehouse, as of ``ts_us``; ``seq`` where its order is another.

        ``detail``: what is told with it.
        """
        series = self.world.reading(reading)
        seq = ts_us if seq is None else seq
        self._outcomes.took(series.key, seq)
        touched: list[Threshold] = []
        series.set(value, touched)
        self._watchers.begin_candles(series.key, ts_us)
        if touched or series.key in self._watchers.unsettled:
            self._deal(touched, Cause(now_us, ts_us, series.key, seq, detail=detail), None)

    @property
    def next_due_us(self) -> float:
        """When something is due by the clock; infinite for never."""
        return self._clock.next_due_us

    def tick(self, now_us: int) -> None:
        """Do what is due by the clock, and keep how far those have come that have not fired."""
        self.pass_to(now_us)
        self._watchers.keep(Cause(now_us, now_us, "", now_us))

    def pass_to(self, now_us: int) -> None:
        """Do what is due by the clock, each in its turn and as of its time."""
        while (due_us := self._clock.next_due_us) <= now_us:
            cause = Cause(int(due_us), int(due_us), "", int(due_us))
            for rule_id in self._clock.ended(cause.now_us):
                if rule := self._take_out(rule_id):
                    self._outcomes.record(rule, rule.ended(), cause)
            self._watchers.wake(cause)

    def tidy(self) -> None:
        """Let go of all that no rule waits for any more."""
        self._watchers.tidy()
        self.world.tidy()

    def end(self) -> None:
        """Let go of all rules at once: nothing may come after it."""
        self._plain.end()
        self._watchers.end()

    def drain(self) -> list[Transition]:
        """What has come of the rules since the last time. Ask at the end of a commit, not within."""
        self._watchers.end_commit()
        return [self._watchers.as_seen(change) for change in self._outcomes.drain()]

    def _deal(self, touched: list[Threshold], cause: Cause, symbol: Symbol | None) -> None:
        for leaf in touched:
            if leaf.leaves_when_on:
                self._reach(leaf, cause)
        self._watchers.look_at((leaf.owner for leaf in touched if not leaf.leaves_when_on), cause, symbol)

    def _reach(self, leaf: Threshold, cause: Cause) -> None:
        rule: Rule = leaf.owner
        if not self._outcomes.may_change(rule, cause):
            leaf.start(is_on=False)
            return
        self._take_out(rule.id)
        firing = Firing(rule, cause.exchange, cause.price, cause.ts_us, cause.trade_id)
        after = rule.fired(cause.now_us, self._outcomes.seen_by(rule), ts_us=cause.ts_us)
        self._hold(self._outcomes.record(rule, after, cause, firing), cause.now_us)

    def _hold(self, rule: Rule, now_us: int) -> None:
        """Go on watching for a rule that has changed, if it is not over."""
        if not rule.armed or rule.state.paused:
            return
        self._clock.add_end(rule)
        self._watchers.put(rule, now_us)

    def _take_out(self, rule_id: int) -> Rule | None:
        rule = self._plain.pop(rule_id) or self._watchers.pop(rule_id)
        if rule is not None:
            self._clock.forget_end(rule)
        return rule
