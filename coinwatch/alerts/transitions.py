"""What rules come to, step by step, and what is left of it where others have come further. All frozen."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coinwatch.alerts.rules import STORM_FIRES, Repeat, Rule, RuleState


class Firing(msgspec.Struct, frozen=True):
    """A rule and what met its condition. Not an alert until it is claimed."""

    rule: Rule
    """As it was before."""
    exchange: str | None
    price: float | None
    ts_us: int
    trade_id: int | None = None
    value: float | None = None
    late: bool = False
    detail: str | None = None
    """What it was, in words, where no number says it."""

    @property
    def message(self) -> str:
        return self.rule.message_for(self.exchange, self.price, self.ts_us, self.value, self.detail)


class Step(msgspec.Struct, frozen=True):
    """One change of a rule."""

    after: Rule
    feed: str
    """Where what changed it came from; empty for the clock."""
    seq: int
    """Its commit."""
    firing: Firing | None = None

    def is_new_to(self, now: Rule) -> bool:
        """Whether what made this step was not yet part of what the rule is ``now``."""
        if self.feed:
            is_seen = self.seq <= now.state.seen.get(self.feed, -1)
            return not is_seen and not now.state.was_told_late_of(self.feed, self.seq)
        if not self.after.armed and self.firing is None:
            return True
        # By the clock: only if nobody has seen more meanwhile, which would be seen a second time.
        seen = self.after.state.seen
        return all(seen.get(feed, -1) >= seq for feed, seq in now.state.seen.items())

    def may_fire(self, now: Rule) -> bool:
        """Whether ``now`` lets it: not in a cooldown, not snoozed. Always, if this step fires nothing."""
        at_us = self.after.fired_at_us
        return self.firing is None or at_us is None or now.ready_at_us(at_us) <= at_us


class Transition(msgspec.Struct, frozen=True):
    """What a rule has come to: by firing, by being armed again, or by time."""

    before: Rule
    steps: tuple[Step, ...]
    """In order, at least one."""

    @property
    def after(self) -> Rule:
        return self.steps[-1].after

    @property
    def firings(self) -> tuple[Firing, ...]:
        return tuple(step.firing for step in self.steps if step.firing is not None)

    def ending_as(self, after: Rule) -> Transition:
        """The same steps, the last of which has led to ``after``."""
        last = msgspec.structs.replace(self.steps[-1], after=after)
        return msgspec.structs.replace(self, steps=(*self.steps[:-1], last))

    def onto(self, now: Rule) -> Transition | None:
        """What is left of this for the rule as it is ``now``, changed by something else meanwhile.

        A step is left out that was taken there, too, or that does not follow from what the rule is by
        then. None where nothing is left.
        """
        if not now.armed or now.state.paused:
            return None
        rule, was_waiting = now, self.before.state.waiting
        kept: list[Step] = []
        for step in self.steps:
            follows = rule.state.waiting == was_waiting and not rule.state.paused
            was_waiting = step.after.state.waiting
            if follows and step.is_new_to(now) and step.may_fire(rule):
                rule = self._taken(step, rule)
                kept.append(msgspec.structs.replace(step, after=rule))
        if not kept:
            return None
        rule = msgspec.structs.replace(rule, state_no=now.state_no + 1)
        return Transition(now, tuple(kept)).ending_as(rule)

    def _taken(self, step: Step, rule: Rule) -> Rule:
        """``rule``, having taken ``step``; all that was seen on either way is seen."""
        state, fired_us = rule.state, rule.fired_at_us
        recent_us = state.recent_us
        if step.firing is not None:
            fired_us = step.after.fired_at_us
            is_once = rule.terms.repeat is Repeat.ONCE
            recent_us = () if is_once or fired_us is None else rule.recent_with(fired_us)
        ahead = self.after.state.seen
        after = msgspec.structs.replace(
            step.after.state,
            recent_us=recent_us,
            paused=len(recent_us) > STORM_FIRES,
            snoozed_until_us=state.snoozed_until_us,
            told_late=state.told_late,
            seen=_furthest(state, ahead) if step.after.armed else {},
        )
        return msgspec.structs.replace(step.after, state=after, fired_at_us=fired_us)


def _furthest(state: RuleState, ahead: Mapping[str, int]) -> dict[str, int]:
    return {feed: max(state.seen.get(feed, -1), ahead.get(feed, -1)) for feed in {**state.seen, **ahead}}
