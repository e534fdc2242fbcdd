"""The rule engine: prices in, transitions of rules out. Pure: no I/O. Live evaluation and backtests share it.

Most rules fire on the first trade at a price: each of those is one threshold (``price_triggers``). The
others have a condition tree for each market they watch (``stateful_rules``). Each change of a rule is
returned as a ``Transition``, which the caller has to claim before it counts.
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
    """Holds rules and the state of their markets; takes prices and readings in order."""

    def __init__(self, allow: Allow | None = None) -> None:
        """``allow``: whether a cause may change a rule; None: every cause that is new to it may."""
        self.market_state = MarketState()
        self._clock = Clock()
        self._pending = PendingChanges(self.market_state, allow)
        self._triggers = PriceTriggers(self.market_state)
        self._stateful = StatefulRules(self.market_state, self._clock, self._pending)

    def __len__(self) -> int:
        return len(self._triggers) + len(self._stateful)

    @contextmanager
    def allowing(self, allow: Allow) -> Iterator[None]:
        """Within, a rule changes only where ``allow`` returns true for it and the cause."""
        before, self._pending.allow = self._pending.allow, allow
        try:
            yield
        finally:
            self._pending.allow = before

    def learning(self) -> AbstractContextManager[None]:
        """Within, no rule changes: what is applied was known before."""
        return self.allowing(lambda rule, cause: False)

    def learn_price(self, series: PriceSeries, price: float, ts_us: int, seq: int) -> None:
        """Set the last price of ``series``, from commit ``seq``. Call it before rules are put."""
        series.last = series.price.value = price
        series.last_us, series.seq = ts_us, seq

    def learn_average(self, symbol: Symbol, since_us: int, last: tuple[int, float] | None) -> None:
        """Take averages of a pair after ``since_us``, or after ``last``, the last one known (time, price)."""
        average = self.market_state.pair(symbol).average
        average.seq = since_us
        if last is not None:
            self.learn_price(average, last[1], last[0], last[0])

    def restart_numbering(self) -> None:
        """Forget the commits that prices came from: those that follow are numbered from 1."""
        for series in self.market_state.markets.values():
            series.seq = 0

    def taken_through(self, tx: int) -> None:
        """State that every commit of trades up to ``tx`` was taken, or came before this engine."""
        self._pending.taken_through(tx)

    def get(self, rule_id: int) -> Rule | None:
        return self._triggers.get(rule_id) or self._stateful.get(rule_id)

    def put(self, rule: Rule, now_us: int) -> None:
        """Watch ``rule`` as it is now, in place of its earlier state."""
        self.remove(rule.id)
        if not rule.armed or rule.state.paused:
            return
        if is_single_threshold(rule, now_us):
            self._clock.add_end(rule)
            self._triggers.put(rule)
        else:
            self._hold(rule, now_us)

    def remove(self, rule_id: int) -> None:
        """Stop watching a rule. Unknown ids are ignored."""
        self._pending.forget(rule_id)
        self._take_out(rule_id)

    def rules(self) -> Iterator[Rule]:
        yield from self._triggers
        yield from self._stateful

    def stateful_rules_of(self, symbol: Symbol) -> Iterator[Rule]:
        """The rules of a pair that need more than one price."""
        return self._stateful.of(symbol)

    def triggers_within(self, feed: PriceSeries, low: float, high: float) -> Iterator[Rule]:
        """The rules on a single price that prices from ``low`` to ``high`` reach."""
        return self._triggers.within(feed, low, high)

    def meet(self, market_id: int, market: Market) -> PriceSeries:
        """The prices of a market. The first call also builds the trees of the rules that watch it."""
        known = self.market_state.markets.get(market_id)
        if known is not None:
            return known
        feed = self.market_state.market(market_id, market)
        self._stateful.add_market(feed)
        return feed

    def bounds(self, feed: PriceSeries) -> tuple[float, float]:
        """The price at or below which, and the price at or above which, a trade changes a rule."""
        ladders = feed.price.thresholds, self.market_state.pair(feed.symbol).anywhere.thresholds
        return (
            max(thresholds.highest_falling for thresholds in ladders),
            min(thresholds.lowest_rising for thresholds in ladders),
        )

    def quiet_range(self, feed: PriceSeries) -> tuple[float, float, float]:
        """The prices and the time that trades must not reach to change nothing but the last price.

        Nothing else may be due by the clock before that time.
        """
        until_us = self._stateful.quiet_until_us(feed.symbol)
        if feed.needs_every_trade or self.market_state.pair(feed.symbol).spreads or until_us == -inf:
            return inf, -inf, -inf
        return *self.bounds(feed), until_us

    def needs_every_trade(self, symbol: Symbol) -> bool:
        """Whether a rule of a pair depends on each trade, whatever its price."""
        pair = self.market_state.pair(symbol)
        return (
            bool(pair.spreads)
            or self._stateful.is_confirmed(symbol)
            or any(series.needs_every_trade for series in pair.markets.values())
        )

    def needs_trades(self, feed: PriceSeries, low: float, high: float, until_us: float = inf) -> bool:
        """Whether a commit of prices from ``low`` to ``high`` must be evaluated trade by trade.

        ``until_us``: the time of its last trade; infinite if that is not known.
        """
        falling, rising = self.bounds(feed)
        if low <= falling or high >= rising or feed.needs_every_trade:
            return True
        if self.market_state.pair(feed.symbol).spreads:
            return True
        quiet_until_us = self._stateful.quiet_until_us(feed.symbol)
        return quiet_until_us < inf and quiet_until_us <= until_us

    def trade(self, feed: PriceSeries, trade: Trade, seq: int, now_us: int) -> None:
        """Take the next trade of a market, from commit ``seq``, after what was due by the clock before it."""
        self.pass_to(now_us)
        feed.seq = max(feed.seq, seq)
        pair = self.market_state.pair(feed.symbol)
        touched: list[Threshold] = []
        feed.take(trade.ts_us, trade.price, trade.amount, touched)
        pair.anywhere.set(trade.price, touched)
        feed.compare(pair.average, touched)
        pair.compare(trade.market.exchange, touched)
        self._stateful.begin_candles(feed.symbol, trade.ts_us)
        if touched or self._stateful.unsettled:
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
        """Take a commit that needs no evaluation trade by trade, and whose last price was ``last``."""
        feed.seq = max(feed.seq, seq)
        feed.take(last_us, last, 0.0, [])
        self.market_state.pair(feed.symbol).anywhere.value = last

    def average(self, symbol: Symbol, price: float, ts_us: int, now_us: int) -> None:
        """Take the average of a pair at a second."""
        pair = self.market_state.pairs.get(symbol)
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
        self._stateful.begin_candles(feed.key, ts_us)
        if touched or self._stateful.unsettled:
            self._deal(touched, Cause(now_us, ts_us, feed.key, ts_us, None, price), None)

    def close(self, feed: PriceSeries, price: float, close_us: int, now_us: int) -> None:
        """Take the close, at ``close_us``, of a candle of ``feed``, a series of closes."""
        if close_us <= feed.seq:
            return
        feed.seq = close_us
        self._pending.took(feed.key, close_us)
        touched: list[Threshold] = []
        feed.take(close_us, price, 0.0, touched)
        self._stateful.begin_candles(feed.key, close_us)
        if touched or self._stateful.unsettled:
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
        """Take a number read from the warehouse, as of ``ts_us``.

        ``seq``: its place in the order of readings, if that is not by time. ``detail``: a text for the alert.
        """
        series = self.market_state.reading(reading)
        seq = ts_us if seq is None else seq
        self._pending.took(series.key, seq)
        touched: list[Threshold] = []
        series.set(value, touched)
        self._stateful.begin_candles(series.key, ts_us)
        if touched or series.key in self._stateful.unsettled:
            self._deal(touched, Cause(now_us, ts_us, series.key, seq, detail=detail), None)

    @property
    def next_due_us(self) -> float:
        """When something is due by the clock; infinite for never."""
        return self._clock.next_due_us

    def tick(self, now_us: int) -> None:
        """Do what is due by the clock, and record the progress of the rules that have not fired."""
        self.pass_to(now_us)
        self._stateful.keep(Cause(now_us, now_us, "", now_us))

    def pass_to(self, now_us: int) -> None:
        """Do what is due by the clock, in order, each as of its own time."""
        while (due_us := self._clock.next_due_us) <= now_us:
            cause = Cause(int(due_us), int(due_us), "", int(due_us))
            for rule_id in self._clock.ended(cause.now_us):
                if rule := self._take_out(rule_id):
                    self._pending.record(rule, rule.ended(), cause)
            self._stateful.wake(cause)

    def tidy(self) -> None:
        """Remove series and windows that no rule needs any more."""
        self._stateful.tidy()
        self.market_state.tidy()

    def end(self) -> None:
        """Break the reference cycles of all rules. The engine cannot be used afterwards."""
        self._triggers.end()
        self._stateful.end()

    def drain(self) -> list[Transition]:
        """The transitions since the last call. Call it at the end of a commit, not within."""
        self._stateful.end_commit()
        return [self._stateful.as_seen(change) for change in self._pending.drain()]

    def _deal(self, touched: list[Threshold], cause: Cause, symbol: Symbol | None) -> None:
        for threshold in touched:
            if threshold.is_single_use:
                self._reach(threshold, cause)
        self._stateful.evaluate(
            (threshold.owner for threshold in touched if not threshold.is_single_use), cause, symbol
        )

    def _reach(self, threshold: Threshold, cause: Cause) -> None:
        rule: Rule = threshold.owner
        if not self._pending.may_change(rule, cause):
            threshold.start(is_on=False)
            return
        self._take_out(rule.id)
        firing = Firing(rule, cause.exchange, cause.price, cause.ts_us, cause.trade_id)
        after = rule.fired(cause.now_us, self._pending.seen_by(rule), ts_us=cause.ts_us)
        self._hold(self._pending.record(rule, after, cause, firing), cause.now_us)

    def _hold(self, rule: Rule, now_us: int) -> None:
        """Continue to watch a rule that has changed, unless it has ended."""
        if not rule.armed or rule.state.paused:
            return
        self._clock.add_end(rule)
        self._stateful.put(rule, now_us)

    def _take_out(self, rule_id: int) -> Rule | None:
        rule = self._triggers.pop(rule_id) or self._stateful.pop(rule_id)
        if rule is not None:
            self._clock.forget_end(rule)
        return rule
