"""Where an alert rule stands, for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from app.dashboard.alerts import form
from coinwatch import formats
from coinwatch.alerts import Above, Below, NewRule, Repeat, Rule, Source, duration_text
from coinwatch.alerts.rules import STORM_FIRES


class State(StrEnum):
    """What becomes of a rule at the moment."""

    ARMED = "armed"
    WAITING = "waiting to re-arm"
    SNOOZED = "snoozed"
    PAUSED = "paused"
    FIRED = "fired"
    EXPIRED = "expired"


OVER = (State.FIRED, State.EXPIRED)
ALL = "all"


def state(rule: Rule, now_us: int) -> State:
    """Where ``rule`` stands at ``now_us``."""
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


def explained(rule: Rule, price: float | None, now_us: int) -> str:
    """Why it stands so, or how far the price has to go."""
    match state(rule, now_us):
        case State.FIRED:
            return formats.age(rule.fired_at_us, now_us)
        case State.EXPIRED:
            return formats.age(rule.terms.expires_at_us, now_us)
        case State.PAUSED:
            stormy = len(rule.state.recent_us) > STORM_FIRES
            return f"it fired more than {STORM_FIRES} times in 3 minutes" if stormy else "by hand"
        case State.SNOOZED:
            left_us = (rule.state.snoozed_until_us or now_us) - now_us
            return f"for {formats.duration(left_us)} more"
        case State.WAITING:
            return _last_fired(rule, now_us) or "until its condition is met no more"
    resting_us = rule.ready_at_us(now_us) - now_us
    if resting_us > 0:
        return f"rests for {formats.duration(resting_us)} more"
    return ", ".join(part for part in (_to_go(rule, price), _last_fired(rule, now_us)) if part)


def terms_words(rule: NewRule, now_us: int) -> tuple[str, ...]:
    """What was asked of it besides its condition, in a few words each."""
    terms = rule.terms
    told = []
    if terms.repeat is Repeat.EVERY:
        told.append("every time")
    elif terms.repeat is Repeat.CANDLE:
        told.append(f"once per {terms.candle} candle")
    source = getattr(rule.condition, "source", Source.TRADE)
    if source is Source.AVERAGE:
        told.append("of the average")
    elif source is Source.CANDLE:
        told.append(f"at the close of {getattr(rule.condition, 'interval', '')}")
    if terms.holds_for_s:
        told.append(f"holds for {duration_text(terms.holds_for_s)}")
    if terms.confirmed_on > 1:
        told.append(f"on {terms.confirmed_on} exchanges")
    if terms.hysteresis:
        told.append(f"comes back by {terms.hysteresis:g}")
    if terms.cooldown_s:
        told.append(f"rests for {duration_text(terms.cooldown_s)}")
    if terms.quiet:
        quiet = terms.quiet
        told.append(f"quiet {_clock(quiet.from_minute)} to {_clock(quiet.to_minute)} {quiet.tz}")
    if terms.expires_at_us is not None and terms.expires_at_us > now_us:
        told.append(f"ends in {formats.duration(terms.expires_at_us - now_us)}")
    return tuple(told)


def chosen(rules: Sequence[Rule], wanted: str, search: str, now_us: int) -> tuple[Rule, ...]:
    """The rules of a state (or ALL of them) that have every word of ``search``, waiting ones first."""
    needles = search.lower().split()

    def has(rule: Rule) -> bool:
        text = f"{rule.id} {form.sentence(rule)} {rule.typed} {rule.note or ''}".lower()
        return all(needle in text for needle in needles)

    found = [rule for rule in rules if wanted in (ALL, state(rule, now_us)) and has(rule)]
    return tuple(sorted(found, key=lambda rule: state(rule, now_us) in OVER))


def _to_go(rule: Rule, price: float | None) -> str:
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
