"""Changes of rules, step by step, and how they merge with the changes of other endpoints. All frozen."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coinwatch.alerts.rule_state import RuleState
from coinwatch.alerts.rules import STORM_FIRES, Repeat, Rule


class Firing(msgspec.Struct, frozen=True):
    """A rule and the data that met its condition. It becomes an alert when it is claimed."""

    rule: Rule
    """Before it fired."""
    exchange: str | None
    price: float | None
    ts_us: int
    trade_id: int | None = None
    value: float | None = None
    late: bool = False
    detail: str | None = None
    """What was measured, in words, if it is not a number."""

    @property
    def message(self) -> str:
        """The message of its alert."""
        return self.rule.message_for(self.exchange, self.price, self.ts_us, self.value, self.detail)


class Step(msgspec.Struct, frozen=True):
    """A change of a rule."""

    after: Rule
    feed: str
    """The feed of the data that changed it; empty for the clock."""
    seq: int
    """The commit of that data."""
    firing: Firing | None = None

    def is_new_to(self, now: Rule) -> bool:
        """Whether the state of the rule ``now`` does not include the cause of this step yet."""
        if self.feed:
            is_seen = self.seq <= now.state.seen.get(self.feed, -1)
            return not is_seen and not now.state.has_fired_late_on(self.feed, self.seq)
        if not self.after.armed and self.firing is None:
            return True
        # By the clock: only if no other endpoint has processed more data, which would count twice.
        seen = self.after.state.seen
        return all(seen.get(feed, -1) >= seq for feed, seq in now.state.seen.items())

    def may_fire(self, now: Rule) -> bool:
        """Whether ``now`` is out of its cooldown and not snoozed; True for a step that fires nothing."""
        at_us = self.after.fired_at_us
        return self.firing is None or at_us is None or now.ready_at_us(at_us) <= at_us


class Transition(msgspec.Struct, frozen=True):
    """The changes of a rule: firing, re-arming, holding, ending."""

    before: Rule
    steps: tuple[Step, ...]
    """In order, at least one."""

    @property
    def after(self) -> Rule:
        """The rule after all steps."""
        return self.steps[-1].after

    @property
    def firings(self) -> tuple[Firing, ...]:
        """The firings of all steps."""
        return tuple(step.firing for step in self.steps if step.firing is not None)

    def ending_as(self, after: Rule) -> Transition:
        """The same steps, with ``after`` as the result of the last."""
        last = msgspec.structs.replace(self.steps[-1], after=after)
        return msgspec.structs.replace(self, steps=(*self.steps[:-1], last))

    def onto(self, now: Rule) -> Transition | None:
        """This transition on top of the rule as it is ``now``, changed by another endpoint meanwhile.

        Steps that were made there too, or that do not follow from its state, are left out. None if no step
        is left.
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
        """``rule`` after ``step``, with the commits that either of both states includes."""
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
            late_firings=state.late_firings,
            seen=_furthest(state, ahead) if step.after.armed else {},
        )
        return msgspec.structs.replace(step.after, state=after, fired_at_us=fired_us)


def _furthest(state: RuleState, ahead: Mapping[str, int]) -> dict[str, int]:
    return {feed: max(state.seen.get(feed, -1), ahead.get(feed, -1)) for feed in {**state.seen, **ahead}}
