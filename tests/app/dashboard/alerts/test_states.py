from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pytest

from app.dashboard.alerts import html, states, toasts
from app.dashboard.alerts.lookback import Fired
from app.dashboard.alerts.states import ALL, State
from coinwatch.alerts import Above, Alert, Change, Quiet, Repeat, Rsi, Rule, RuleState, Source, Terms
from coinwatch.alerts import Direction as Side
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from warehouse.alerts import deliveries
from warehouse.alerts.reads import EventDelivery, OutletRow

HOUR_US = 60 * MINUTE_US
NOW_US = 1_795_176_000 * SECOND_US
LEVEL = Above(price=100.0)
EVERY = Terms(repeat=Repeat.EVERY)


def rule(rule_id: int = 1, *, condition: Any = LEVEL, **more: Any) -> Rule:
    values: dict[str, Any] = {"typed": "btcusdt", "client": "dashboard", "created_at_us": NOW_US - DAY_US}
    return Rule(id=rule_id, symbol=Symbol("BTC", "USDT"), condition=condition, **(values | more))


STORM = RuleState(paused=True, recent_us=tuple(range(16)))


@pytest.mark.parametrize(
    ("stored", "state", "why"),
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
        (rule(state=RuleState(paused=True)), State.PAUSED, "manually"),
        (rule(state=STORM), State.PAUSED, "fired more than 15 times in 3 minutes"),
        (rule(armed=False, fired_at_us=NOW_US - 180 * SECOND_US), State.FIRED, "3 min ago"),
        (rule(armed=False, terms=Terms(expires_at_us=NOW_US - HOUR_US)), State.EXPIRED, "1.0 h ago"),
        (rule(terms=Terms(expires_at_us=NOW_US)), State.EXPIRED, "ago"),
        (
            rule(terms=Terms(repeat=Repeat.EVERY, cooldown_s=300), fired_at_us=NOW_US - MINUTE_US),
            State.ARMED,
            "does not fire for 4 min more",
        ),
        (rule(terms=Terms(quiet=Quiet(0, 1_439))), State.ARMED, "does not fire for"),
    ],
)
def test_each_rule_has_a_state_and_an_explanation(stored: Rule, state: State, why: str) -> None:
    assert states.state(stored, NOW_US) is state
    assert why in states.explanation(stored, 50.0, NOW_US)


def test_terms_are_shown_in_words() -> None:
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
        "hysteresis 0.5",
        "cooldown 5m",
        "quiet hours 22:00 to 07:00 UTC",
        "expires in 3 d",
    )
    assert states.terms_words(rule(), NOW_US) == ()
    average = rule(terms=EVERY, condition=Change(percent=1, within_s=60, source=Source.AVERAGE))
    assert states.terms_words(average, NOW_US) == ("every time", "on the average price")


def test_rules_are_filtered_by_state_and_search() -> None:
    fired = rule(1, armed=False, fired_at_us=NOW_US)
    noted = rule(2, note="Sell <b>Half</b>")
    paused = rule(3, state=RuleState(paused=True))
    rules = [fired, noted, paused]
    assert states.matching(rules, ALL, "", NOW_US) == (noted, paused, fired)
    assert states.matching(rules, State.PAUSED, "", NOW_US) == (paused,)
    assert states.matching(rules, ALL, "half sell", NOW_US) == (noted,)
    assert states.matching(rules, ALL, "eth", NOW_US) == ()


def event(event_id: int) -> Alert:
    return Alert(event_id=event_id, rule_id=1, symbol="A-B", exchange=None, price=None, ts_us=0, message="")


def test_a_session_sees_only_new_events() -> None:
    newest = [event(7), event(6), event(5)]
    assert toasts.fresh_events(newest, None) == []
    assert toasts.fresh_events(newest, 5) == newest[:2]
    assert toasts.fresh_events(newest, 7) == []


def test_markdown_in_a_message_is_escaped() -> None:
    assert toasts.plain("**a** [b](c)\n<i> :red[x] $y$") == (r"\*\*a\*\* \[b\]\(c\) \<i\> \:red\[x\] \$y\$")


HOSTILE = "<script>alert('1')</script>\""


def test_hostile_values_are_escaped() -> None:
    fired = msgspec.structs.replace(event(1), symbol=HOSTILE, message=HOSTILE)
    delivery = EventDelivery(
        event_id=1,
        outlet_id=1,
        kind=deliveries.Kind.WEBHOOK,
        state=deliveries.State.DEAD,
        attempts=1,
        attempted_at=None,
        http_status=None,
        error=HOSTILE,
    )
    outlet = OutletRow(
        id=1,
        kind=deliveries.Kind.WEBHOOK,
        to=HOSTILE,
        disabled_why=HOSTILE,
        delivered=0,
        waiting=0,
        dead=0,
        last_at=None,
        last_error=HOSTILE,
    )
    for shown in (
        html.fault(HOSTILE),
        html.summary(HOSTILE, [HOSTILE]),
        html.rule(HOSTILE, State.ARMED, HOSTILE, [HOSTILE], HOSTILE),
        html.history([fired], {1: [delivery]}, UTC, outlets=True),
        html.outlets([outlet], UTC),
        html.firings([Fired(0, HOSTILE, 1.0, None)], UTC),
    ):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
