"""What is left of a rule's steps where another endpoint has come further with it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from coinwatch.alerts import Above, Firing, Repeat, Rule, Step, Terms, Transition
from coinwatch.times import SECOND_US
from tests.app.alerts.rules.test_engine import START_US, rule

EVERY = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY, hysteresis=1.0))


def firing(of: Rule, trade_id: int) -> Firing:
    return Firing(of, "binance", 101.0, START_US, trade_id)


def fired(before: Rule, seq: int, at_us: int = START_US) -> Step:
    return Step(before.fired(at_us, {"1": seq}), "1", seq, firing(before, seq))


def rearmed(before: Rule, seq: int) -> Step:
    return Step(before.rearmed(START_US, {"1": seq}), "1", seq)


def elsewhere(rule: Rule, **state: object) -> Rule:
    return msgspec.structs.replace(rule, state=msgspec.structs.replace(rule.state, **state), state_no=2)


def steps_to(count: int) -> list[Step]:
    """Fired and armed again in turn, by one commit each, from 1 on."""
    steps: list[Step] = []
    before = EVERY
    for seq in range(1, count + 1):
        steps.append(rearmed(before, seq) if before.state.waiting else fired(before, seq))
        before = steps[-1].after
    return steps


def trades(steps: Sequence[Step]) -> list[int | None]:
    return [step.firing.trade_id for step in steps if step.firing]


def test_firings_of_another_endpoint_are_not_repeated() -> None:
    """It has stored two of three steps in one claim: the rule waits for nothing, as it did before."""
    steps = steps_to(3)
    again = Transition(EVERY, tuple(steps)).onto(msgspec.structs.replace(steps[1].after, state_no=1))
    assert again is not None
    assert trades(again.steps) == [3]
    assert (again.before.state_no, again.after.state_no) == (1, 2)
    assert again.after.state.seen == {"1": 3}
    assert again.after.state.waiting


def test_all_that_it_has_not_come_to_yet_follows() -> None:
    steps = steps_to(5)
    for at in range(1, 5):
        again = Transition(EVERY, tuple(steps)).onto(msgspec.structs.replace(steps[at - 1].after, state_no=1))
        assert again is not None
        assert again.after.state.seen == {"1": 5}
        assert [step.seq for step in again.steps] == list(range(at + 1, 6))
    assert Transition(EVERY, tuple(steps[:4])).onto(steps[4].after) is None


def test_a_step_that_does_not_follow_is_left_out() -> None:
    """It fires by another market meanwhile: this one's trade reports nothing new, but arms it again."""
    steps = steps_to(3)
    again = Transition(EVERY, tuple(steps)).onto(elsewhere(EVERY, waiting=True, seen={"2": 9}))
    assert again is not None
    assert trades(again.steps) == [3]
    assert again.after.state.seen == {"1": 3, "2": 9}


def test_late_firings_of_another_endpoint_are_not_repeated_live() -> None:
    steps = steps_to(3)
    again = Transition(EVERY, tuple(steps)).onto(
        elsewhere(EVERY, late_firings=(("1", 1, START_US), ("2", 3, START_US)))
    )
    assert again is not None
    assert trades(again.steps) == [3]
    assert again.after.state.late_firings == (("1", 1, START_US), ("2", 3, START_US))


def test_alerts_of_all_count_for_a_storm() -> None:
    steps = steps_to(3)
    again = Transition(EVERY, tuple(steps)).onto(elsewhere(EVERY, recent_us=(START_US - 1,) * 14))
    assert again is not None
    assert trades(again.steps) == [1, 3]
    assert again.after.state.paused
    again = Transition(EVERY, tuple(steps)).onto(elsewhere(EVERY, recent_us=(START_US - 1,) * 15))
    assert again is not None
    assert trades(again.steps) == [1]


def test_nothing_is_sent_while_snoozed_or_in_a_cooldown() -> None:
    change = Transition(EVERY, (fired(EVERY, 1),))
    assert change.onto(elsewhere(EVERY, snoozed_until_us=START_US)) is not None
    assert change.onto(elsewhere(EVERY, snoozed_until_us=START_US + 1)) is None
    cooling = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY, cooldown_s=1))
    received = msgspec.structs.replace(cooling, fired_at_us=START_US - SECOND_US)
    assert Transition(cooling, (fired(cooling, 1),)).onto(received) is not None
    received = msgspec.structs.replace(cooling, fired_at_us=START_US - SECOND_US + 1)
    assert Transition(cooling, (fired(cooling, 1),)).onto(received) is None


def test_steps_by_the_clock_older_than_the_stored_rule_are_not_claimed() -> None:
    """It would have them see twice what came between."""
    change = Transition(EVERY, (Step(EVERY.holding(None, {"1": 5}, {"1": "1"}), "", START_US),))
    assert change.onto(elsewhere(EVERY, seen={"1": 7})) is None
    assert change.onto(elsewhere(EVERY, seen={"1": 5, "2": 1})) is None
    again = change.onto(elsewhere(EVERY, seen={"1": 4}))
    assert again is not None
    assert again.after.state_no == 3
    ended = Transition(EVERY, (Step(EVERY.ended(), "", START_US),))
    assert ended.onto(elsewhere(EVERY, seen={"1": 7})) is not None


def test_a_rule_that_is_over_or_paused_comes_to_nothing() -> None:
    change = Transition(EVERY, (fired(EVERY, 1),))
    assert change.onto(EVERY.ended()) is None
    assert change.onto(elsewhere(EVERY, paused=True)) is None
