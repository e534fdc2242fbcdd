from __future__ import annotations

from typing import Any

import pytest

from app.dashboard.alerts import states, toasts
from app.dashboard.alerts.states import ALL, State
from coinwatch.alerts import Above, Alert, Change, Quiet, Repeat, Rsi, Rule, RuleState, Source, Terms
from coinwatch.alerts import Direction as Side
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US

HOUR_US = 60 * MINUTE_US
NOW_US = 1_795_176_000 * SECOND_US
LEVEL = Above(price=100.0)
EVERY = Terms(repeat=Repeat.EVERY)


def rule(rule_id: int = 1, *, condition: Any = LEVEL, **more: Any) -> Rule:
    values: dict[str, Any] = {"typed": "btcusdt", "client": "dashboard", "created_at_us": NOW_US - DAY_US}
    return Rule(id=rule_id, symbol=Symbol("BTC", "USDT"), condition=condition, **(values | more))


STORM = RuleState(paused=True, recent_us=tuple(range(16)))


@pytest.mark.parametrize(
    ("one", "state", "why"),
    [
        (rule(), State.ARMED, "+100.00 % to go"),
        (rule(condition=Above(price=50.0)), State.ARMED, "met now"),
        (rule(condition=Rsi(level=70, side=Side.ABOVE, interval=Interval.H1)), State.ARMED, ""),
        (rule(terms=EVERY, state=RuleState(waiting=True)), State.WAITING, "until its condition"),
        (
            rule(terms=EVERY, state=RuleState(waiting=True), fired_at_us=NOW_US - 3 * MINUTE_US),
            State.WAITING,
            "fired 3 min ago",
        ),
        (rule(state=RuleState(snoozed_until_us=NOW_US + HOUR_US)), State.SNOOZED, "for 1.0 h more"),
        (rule(state=RuleState(snoozed_until_us=NOW_US)), State.ARMED, "to go"),
        (rule(state=RuleState(paused=True)), State.PAUSED, "by hand"),
        (rule(state=STORM), State.PAUSED, "it fired more than 15 times in 3 minutes"),
        (rule(armed=False, fired_at_us=NOW_US - 180 * SECOND_US), State.FIRED, "3 min ago"),
        (rule(armed=False, terms=Terms(expires_at_us=NOW_US - HOUR_US)), State.EXPIRED, "1.0 h ago"),
        (rule(terms=Terms(expires_at_us=NOW_US)), State.EXPIRED, "ago"),
        (
            rule(terms=Terms(repeat=Repeat.EVERY, cooldown_s=300), fired_at_us=NOW_US - MINUTE_US),
            State.ARMED,
            "rests for 4 min more",
        ),
        (rule(terms=Terms(quiet=Quiet(0, 1_439))), State.ARMED, "rests for"),
    ],
)
def test_where_a_rule_stands_and_why(one: Rule, state: State, why: str) -> None:
    assert states.state(one, NOW_US) is state
    assert why in states.explained(one, 50.0, NOW_US)


def test_terms_are_told_in_words() -> None:
    terms = Terms(
        holds_for_s=60,
        confirmed_on=2,
        repeat=Repeat.CANDLE,
        candle=Interval.H1,
        hysteresis=0.5,
        cooldown_s=300,
        expires_at_us=NOW_US + 3 * DAY_US,
        quiet=Quiet(1_320, 420),
    )
    condition = Above(price=1.0, source=Source.CANDLE, interval=Interval.M15)
    assert states.terms_words(rule(terms=terms, condition=condition), NOW_US) == (
        "once per 1h candle",
        "at the close of 15m",
        "holds for 1m",
        "on 2 exchanges",
        "comes back by 0.5",
        "rests for 5m",
        "quiet 22:00 to 07:00 UTC",
        "ends in 3 d",
    )
    assert states.terms_words(rule(), NOW_US) == ()
    average = rule(terms=EVERY, condition=Change(percent=1, within_s=60, source=Source.AVERAGE))
    assert states.terms_words(average, NOW_US) == ("every time", "of the average")


def test_rules_are_found_by_state_and_words() -> None:
    fired = rule(1, armed=False, fired_at_us=NOW_US)
    noted = rule(2, note="Sell <b>Half</b>")
    paused = rule(3, state=RuleState(paused=True))
    rules = [fired, noted, paused]
    assert states.chosen(rules, ALL, "", NOW_US) == (noted, paused, fired)
    assert states.chosen(rules, State.PAUSED, "", NOW_US) == (paused,)
    assert states.chosen(rules, ALL, "half sell", NOW_US) == (noted,)
    assert states.chosen(rules, ALL, "eth", NOW_US) == ()


def event(event_id: int) -> Alert:
    return Alert(event_id=event_id, rule_id=1, symbol="A-B", exchange=None, price=None, ts_us=0, message="")


def test_a_session_is_told_of_what_is_new_to_it() -> None:
    newest = [event(7), event(6), event(5)]
    assert toasts.fresh_events(newest, None) == []
    assert toasts.fresh_events(newest, 5) == newest[:2]
    assert toasts.fresh_events(newest, 7) == []


def test_a_message_is_no_markup() -> None:
    assert toasts.plain("**a** [b](c)\n<i> :red[x] $y$") == (r"\*\*a\*\* \[b\]\(c\) \<i\> \:red\[x\] \$y\$")
