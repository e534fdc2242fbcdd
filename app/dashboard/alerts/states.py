"""The state of an alert rule and its explanation. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from app.dashboard.alerts import form
from coinwatch import formats
from coinwatch.alerts import Above, Below, NewRule, Repeat, Rule, Source, duration_text
from coinwatch.alerts.rules import STORM_FIRES


class State(StrEnum):
    """The state of a rule; the values also stand in addresses."""

    ARMED = "armed"
    WAITING = "waiting to re-arm"
    SNOOZED = "snoozed"
    PAUSED = "paused"
    FIRED = "fired"
    EXPIRED = "expired"


OVER = (State.FIRED, State.EXPIRED)
ALL = "all"


def state(rule: Rule, now_us: int) -> State:
    """The state of ``rule`` at ``now_us``."""
    if not rule.armed:
        once = rule.terms.repeat is Repeat.ONCE
        return State.FIRED if once and rule.fired_at_us is not None else State.EXPIRED
    if rule.terms.expires_at_us is not None and rule.terms.expires_at_us <= now_us:
        return State.EXPIRED
    if rule.state.paused:
        return State.PAUSED
    if (rule.state.snoozed_until_us or 0) > now_us:
        return State.SNOOZED
    return State.WAITING if rule.state.waiting else State.ARMED


def explanation(rule: Rule, price: float | None, now_us: int) -> str:
    """The reason of the state, or the distance of ``price`` from the level of the rule."""
    match state(rule, now_us):
        case State.FIRED:
            return formats.age(rule.fired_at_us, now_us)
        case State.EXPIRED:
            return formats.age(rule.terms.expires_at_us, now_us)
        case State.PAUSED:
            is_storm = len(rule.state.recent_us) > STORM_FIRES
            return f"fired more than {STORM_FIRES} times in 3 minutes" if is_storm else "manually"
        case State.SNOOZED:
            left_us = (rule.state.snoozed_until_us or now_us) - now_us
            return f"for {formats.duration(left_us)} more"
        case State.WAITING:
            return _last_fired(rule, now_us) or "until its condition no longer holds"
    quiet_us = rule.ready_at_us(now_us) - now_us
    if quiet_us > 0:
        return f"does not fire for {formats.duration(quiet_us)} more"
    return ", ".join(part for part in (_distance(rule, price), _last_fired(rule, now_us)) if part)


def terms_words(rule: NewRule, now_us: int) -> tuple[str, ...]:
    """The terms of a rule, each in a few words; standard terms are left out."""
    terms = rule.terms
    phrases = []
    if terms.repeat is Repeat.EVERY:
        phrases.append("every time")
    elif terms.repeat is Repeat.CANDLE:
        phrases.append(f"once per {terms.candle} candle")
    source = getattr(rule.condition, "source", Source.TRADE)
    if source is Source.AVERAGE:
        phrases.append("on the average price")
    elif source is Source.CANDLE:
        phrases.append(f"at the close of {getattr(rule.condition, 'interval', '')}")
    if terms.holds_for_s:
        phrases.append(f"holds for {duration_text(terms.holds_for_s)}")
    if terms.confirmed_on > 1:
        phrases.append(f"on {terms.confirmed_on} exchanges")
    if terms.hysteresis:
        phrases.append(f"hysteresis {terms.hysteresis:g}")
    if terms.cooldown_s:
        phrases.append(f"cooldown {duration_text(terms.cooldown_s)}")
    if terms.quiet:
        quiet = terms.quiet
        phrases.append(f"quiet hours {_clock(quiet.from_minute)} to {_clock(quiet.to_minute)} {quiet.tz}")
    if terms.expires_at_us is not None and terms.expires_at_us > now_us:
        phrases.append(f"expires in {formats.duration(terms.expires_at_us - now_us)}")
    return tuple(phrases)


def matching(rules: Sequence[Rule], wanted: str, search: str, now_us: int) -> tuple[Rule, ...]:
    """The rules in the state ``wanted`` (or ALL) that contain every word of ``search``, active ones first."""
    words = search.lower().split()

    def has(rule: Rule) -> bool:
        text = f"{rule.id} {form.sentence(rule)} {rule.typed} {rule.note or ''}".lower()
        return all(word in text for word in words)

    matches = [rule for rule in rules if wanted in (ALL, state(rule, now_us)) and has(rule)]
    return tuple(sorted(matches, key=lambda rule: state(rule, now_us) in OVER))


def _distance(rule: Rule, price: float | None) -> str:
    condition = rule.condition
    if price is None or not isinstance(condition, Above | Below):
        return ""
    if condition.met_by(price):
        return "met now"
    return f"{formats.percent(condition.price / price - 1)} to go"


def _last_fired(rule: Rule, now_us: int) -> str:
    return "" if rule.fired_at_us is None else f"fired {formats.age(rule.fired_at_us, now_us)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
