"""What has come of rules, what made it so, and what is new to each of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from app.alerts.rules.market_state import MarketState
from coinwatch.alerts import Firing, Rule, Step, Transition
from coinwatch.records import Symbol


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
    detail: str | None = None
    """What it was, in words, where no number says it."""


Allow = Callable[[Rule, Cause], bool]


class PendingChanges:
    """The changes of rules since they were asked for last, and what all feeds have come to."""

    def __init__(self, world: MarketState, allow: Allow | None) -> None:
        """``allow``: whether a rule may be changed by something; None: by all that is new to it."""
        self.allow = allow
        self._world = world
        self._read_us: dict[str, int] = {}
        """By reading, as of when it was taken last."""
        self._changes: dict[int, Transition] = {}
        self._taken_through = 0

    def took(self, key: str, seq: int) -> None:
        """A reading, or a candle, was taken."""
        self._read_us[key] = seq

    def taken_through(self, tx: int) -> None:
        """Every commit of trades up to ``tx`` was taken, by whatever market."""
        self._taken_through = max(self._taken_through, tx)

    def may_change(self, rule: Rule, cause: Cause) -> bool:
        if rule.terms.expires_at_us is not None and cause.now_us >= rule.terms.expires_at_us:
            return False
        seen = rule.state.seen
        if cause.feed:
            # What has changed since was made of what comes now; what was seen before stays seen.
            known = self._changes.get(rule.id)
            stored = known.before.state.seen if known else seen
            if cause.seq <= stored.get(cause.feed, -1):
                return False
            if rule.state.has_fired_late_on(cause.feed, cause.seq):
                return False
        elif not self.is_past(rule):
            return False
        return self.allow is None or self.allow(rule, cause)

    def record(self, before: Rule, after: Rule, cause: Cause, firing: Firing | None = None) -> Rule:
        """Note what ``before`` has come to; returns it as it will be stored."""
        steps: tuple[Step, ...] = ()
        if known := self._changes.get(before.id):
            before, steps = known.before, known.steps
        else:
            after = msgspec.structs.replace(after, state_no=before.state_no + 1)
        step = Step(after, cause.feed, cause.seq, firing)
        self._changes[before.id] = Transition(before, (*steps, step))
        return after

    def forget(self, rule_id: int) -> None:
        """What has come of it is of no interest any more."""
        self._changes.pop(rule_id, None)

    def drain(self) -> list[Transition]:
        """What has come of the rules since the last time."""
        changes, self._changes = self._changes, {}
        return list(changes.values())

    def seen_by(self, rule: Rule, readings: Iterable[str] = ()) -> dict[str, int]:
        """The last commits of all of its pair, each of which may be a moment in which ``rule`` is looked at.

        ``readings``: the keys of what it reads.
        """
        pair = self._world.pairs.get(rule.symbol)
        if pair is None:
            return {}
        seen = {feed.key: feed.seq for feed in (*pair.markets.values(), pair.average) if feed.seq}
        seen |= {key: self._read_us[key] for key in readings if key in self._read_us}
        # What an endpoint that is further ahead has made of it is seen, too.
        known = rule.state.seen
        return {**known, **{key: max(seq, known.get(key, seq)) for key, seq in seen.items()}}

    def is_past(self, rule: Rule) -> bool:
        """Whether all that was seen of ``rule`` elsewhere was taken here, too.

        Before, it is as it was later than its prices are, and the clock decides nothing.
        """
        return all(self._seq_of(feed) >= seq for feed, seq in rule.state.seen.items())

    def _seq_of(self, key: str) -> int:
        if key.isdecimal():
            feed = self._world.markets.get(int(key))
            return max(feed.seq if feed else 0, self._taken_through)
        if key.startswith("average:"):
            pair = self._world.pairs.get(Symbol.canonical(key.removeprefix("average:")))
            return pair.average.seq if pair else 0
        return self._read_us.get(key, 0)
