"""The changes of rules that are not claimed yet, and their causes. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from app.alerts.rules.market_state import MarketState
from coinwatch.alerts import Firing, Rule, Step, Transition
from coinwatch.records import Symbol


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What made the engine evaluate a rule."""

    now_us: int
    """The database's clock."""
    ts_us: int
    """The time of the price."""
    feed: str
    """The key of the series; empty for the clock."""
    seq: int
    exchange: str | None = None
    price: float | None = None
    trade_id: int | None = None
    market_id: int = 0
    """The market of the price; 0 if it is of none."""
    detail: str | None = None
    """A text for the alert, where no number describes the cause."""


Allow = Callable[[Rule, Cause], bool]


class PendingChanges:
    """The changes of rules since the last ``drain``, and the last commit of each series."""

    def __init__(self, market_state: MarketState, allow: Allow | None) -> None:
        """``allow``: whether a cause may change a rule; None: every cause that is new to it may."""
        self.allow = allow
        self._market_state = market_state
        self._read_us: dict[str, int] = {}
        """By key of a reading, the ``seq`` taken last."""
        self._changes: dict[int, Transition] = {}
        self._taken_through = 0

    def took(self, key: str, seq: int) -> None:
        """State that a reading, or a close, was taken."""
        self._read_us[key] = seq

    def taken_through(self, tx: int) -> None:
        """State that every commit of trades up to ``tx`` was taken, of any market."""
        self._taken_through = max(self._taken_through, tx)

    def may_change(self, rule: Rule, cause: Cause) -> bool:
        if rule.terms.expires_at_us is not None and cause.now_us >= rule.terms.expires_at_us:
            return False
        seen = rule.state.seen
        if cause.feed:
            # Changes of this commit are made of what comes now: only commits before it count as seen.
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
        """Record a change of a rule and return the rule as it will be stored."""
        steps: tuple[Step, ...] = ()
        if known := self._changes.get(before.id):
            before, steps = known.before, known.steps
        else:
            after = msgspec.structs.replace(after, state_no=before.state_no + 1)
        step = Step(after, cause.feed, cause.seq, firing)
        self._changes[before.id] = Transition(before, (*steps, step))
        return after

    def forget(self, rule_id: int) -> None:
        """Drop the changes of a rule."""
        self._changes.pop(rule_id, None)

    def drain(self) -> list[Transition]:
        """The transitions since the last call."""
        changes, self._changes = self._changes, {}
        return list(changes.values())

    def seen_by(self, rule: Rule, readings: Iterable[str] = ()) -> dict[str, int]:
        """The last commit of each series of the pair of ``rule``, by key: what the rule was evaluated on.

        ``readings``: the keys of the readings it depends on.
        """
        pair = self._market_state.pairs.get(rule.symbol)
        feeds = (*pair.markets.values(), pair.average) if pair else ()
        seen = {feed.key: feed.seq for feed in feeds if feed.seq}
        seen |= {key: self._read_us[key] for key in readings if key in self._read_us}
        # What an endpoint further ahead evaluated it on counts, too.
        known = rule.state.seen
        return {**known, **{key: max(seq, known.get(key, seq)) for key, seq in seen.items()}}

    def is_past(self, rule: Rule) -> bool:
        """Whether this endpoint has taken everything that ``rule`` was evaluated on elsewhere.

        Until then the rule is ahead of the prices here, and the clock must not change it.
        """
        return all(self._seq_of(feed) >= seq for feed, seq in rule.state.seen.items())

    def _seq_of(self, key: str) -> int:
        if key.isdecimal():
            feed = self._market_state.markets.get(int(key))
            return max(feed.seq if feed else 0, self._taken_through)
        if key.startswith("average:"):
            pair = self._market_state.pairs.get(Symbol.canonical(key.removeprefix("average:")))
            return pair.average.seq if pair else 0
        return self._read_us.get(key, 0)
