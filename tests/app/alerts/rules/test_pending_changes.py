"""The changes of rules between two calls of ``drain``, and which causes may make them."""

from __future__ import annotations

import msgspec
import pytest

from app.alerts.rules.market_state import MarketState
from app.alerts.rules.pending_changes import Cause, PendingChanges
from coinwatch.alerts import Above, Firing, Repeat, Rule, RuleState, Terms
from tests.app.alerts.rules.test_engine import BINANCE, rule

EVERY = rule(Above(price=100.0), terms=Terms(repeat=Repeat.EVERY))


def cause(seq: int, feed: str = "1", now_us: int = 5) -> Cause:
    return Cause(now_us, now_us, feed, seq, "binance", 100.0)


def with_seen(seen: dict[str, int]) -> Rule:
    return msgspec.structs.replace(EVERY, state=RuleState(seen=seen))


@pytest.fixture
def state() -> MarketState:
    state = MarketState()
    state.market(1, BINANCE)
    return state


@pytest.fixture
def pending(state: MarketState) -> PendingChanges:
    return PendingChanges(state, None)


def test_changes_of_a_rule_become_one_transition(pending: PendingChanges) -> None:
    fired = EVERY.fired(5, {}, ts_us=5)
    stored = pending.record(EVERY, fired, cause(1), Firing(EVERY, "binance", 100.0, 5, 7))
    rearmed = pending.record(stored, stored.rearmed(6, {}), cause(2))
    (transition,) = pending.drain()
    assert transition.before is EVERY
    assert transition.after is rearmed
    assert [step.seq for step in transition.steps] == [1, 2]
    assert rearmed.state_no == EVERY.state_no + 1
    assert pending.drain() == []


def test_the_changes_of_a_removed_rule_are_dropped(pending: PendingChanges) -> None:
    pending.record(EVERY, EVERY.fired(5, {}, ts_us=5), cause(1))
    pending.forget(EVERY.id)
    assert pending.drain() == []


def test_a_commit_that_was_evaluated_changes_nothing_again(pending: PendingChanges) -> None:
    evaluated = with_seen({"1": 3})
    assert [pending.may_change(evaluated, cause(seq)) for seq in (2, 3, 4)] == [False, False, True]


def test_later_trades_of_a_commit_may_change_a_rule_again(pending: PendingChanges) -> None:
    stored = pending.record(EVERY, EVERY.fired(5, {"1": 4}, ts_us=5), cause(4))
    assert pending.may_change(stored, cause(4))


def test_an_expired_rule_does_not_change(pending: PendingChanges) -> None:
    expiring = rule(Above(price=100.0), terms=Terms(expires_at_us=10))
    assert pending.may_change(expiring, cause(1, now_us=9))
    assert not pending.may_change(expiring, cause(1, now_us=10))


def test_the_clock_waits_for_prices_that_another_endpoint_has_seen(
    state: MarketState, pending: PendingChanges
) -> None:
    ahead = with_seen({"1": 8})
    assert not pending.may_change(ahead, cause(5, feed=""))
    state.markets[1].seq = 8
    assert pending.may_change(ahead, cause(5, feed=""))
    pending.taken_through(9)
    assert pending.is_past(with_seen({"2": 9}))


def test_only_allowed_causes_change_a_rule(state: MarketState) -> None:
    pending = PendingChanges(state, lambda rule, cause: cause.seq > 5)
    assert [pending.may_change(EVERY, cause(seq)) for seq in (5, 6)] == [False, True]


def test_what_was_seen_never_goes_back(state: MarketState, pending: PendingChanges) -> None:
    state.markets[1].seq = 4
    pending.took("rsi", 7)
    assert pending.seen_by(with_seen({"1": 6, "2": 2}), ["rsi", "macd"]) == {"1": 6, "2": 2, "rsi": 7}
    assert pending.seen_by(with_seen({"1": 3})) == {"1": 4}


def test_what_was_seen_is_kept_where_the_pair_is_not_followed() -> None:
    pending = PendingChanges(MarketState(), None)
    pending.took("fear", 7)
    assert pending.seen_by(with_seen({"1": 6}), ["fear"]) == {"1": 6, "fear": 7}


def test_a_commit_whose_late_trades_fired_changes_nothing_again(pending: PendingChanges) -> None:
    late = msgspec.structs.replace(EVERY, state=RuleState(late_firings=(("1", 3, 5),)))
    assert [pending.may_change(late, cause(seq)) for seq in (3, 4)] == [False, True]
