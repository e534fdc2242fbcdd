"""Rules as requested and as stored, and the alerts they fire. All frozen; a change makes a new rule."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from coinwatch.alerts.conditions import Above, Below, Condition, Source
from coinwatch.alerts.rule_state import RuleState
from coinwatch.alerts.texts import moment_text, price_text
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US, from_datetime, to_datetime

STORM_FIRES = 15
STORM_US = 3 * MINUTE_US
"""A rule that fires more than STORM_FIRES times within this is paused."""
MOST_LATE = STORM_FIRES + 5
"""The late trades that a rule remembers: more would have paused it."""

NO_MARKET = Symbol("NO", "MARKET")
"""The symbol of rules that concern no market, and of their alerts."""

PLACEHOLDERS = ("symbol", "exchange", "price", "value", "time", "note", "condition")
"""The placeholders of a message template."""


class Repeat(StrEnum):
    """How often a rule fires."""

    ONCE = "once"
    EVERY = "every"
    """Each time its condition is met again, after it was not met."""
    CANDLE = "candle"
    """At most once per candle of an interval."""


class Quiet(msgspec.Struct, frozen=True):
    """Hours of the day, in a time zone, in which a rule does not fire. They can span midnight."""

    from_minute: int
    """Minute of the day, inclusive."""
    to_minute: int
    """Minute of the day, exclusive."""
    tz: str = "UTC"

    def until_us(self, now_us: int) -> int | None:
        """The end of the quiet hours that contain ``now_us``; None outside of them."""
        local = to_datetime(now_us).astimezone(ZoneInfo(self.tz))
        minute = local.hour * 60 + local.minute
        length = (self.to_minute - self.from_minute) % 1_440
        passed = (minute - self.from_minute) % 1_440
        if passed >= length:
            return None
        end = local.replace(second=0, microsecond=0) + timedelta(minutes=length - passed)
        return from_datetime(end)


class Terms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a rule fires on its condition."""

    holds_for_s: int = 0
    """How long the condition must be met before the rule fires, by the database's clock."""
    confirmed_on: int = 1
    """The number of exchanges that must meet the condition at once."""
    repeat: Repeat = Repeat.ONCE
    candle: Interval | None = None
    """The interval, if ``repeat`` is by candle."""
    hysteresis: float = 0.0
    """How far it must move back to be re-armed: percent of a price, else in the unit of the condition."""
    cooldown_s: int = 0
    expires_at_us: int | None = None
    quiet: Quiet | None = None
    template: str | None = None
    """The message, with placeholders; None for the standard message."""


NO_TERMS = Terms()
NEW = RuleState()


class NewRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as its owner requests it. It belongs to a named client or to a connection, never both."""

    symbol: Symbol
    exchange: str | None = None
    """None: the pair on any exchange."""
    condition: Condition
    terms: Terms = NO_TERMS
    typed: str
    """The symbol as its owner typed it."""
    note: str | None = None
    client: str | None = None
    connection: str | None = None


class Rule(NewRule, frozen=True, kw_only=True):
    """A rule as stored. It is watched while it is ``armed``: until it fires for the last time or expires."""

    id: int
    armed: bool = True
    state_no: int = 0
    """Grows with each claim, so that a claim on an older state is void."""
    state: RuleState = NEW
    created_at_us: int
    fired_at_us: int | None = None

    @property
    def armed_since_us(self) -> int:
        """When it was last armed."""
        return self.state.armed_us if self.state.armed_us is not None else self.created_at_us

    @property
    def rearms_at_us(self) -> int | None:
        """When it is re-armed, if it fires once per candle and has fired: by the times of prices."""
        candle, fired_us = self.terms.candle, self.state.fired_ts_us
        return None if candle is None or fired_us is None else candle.floor(fired_us) + candle.us

    def ready_at_us(self, now_us: int) -> int:
        """The earliest time it can fire, at ``now_us``: after cooldown, snooze and quiet hours."""
        at_us = now_us
        if self.fired_at_us is not None and self.terms.cooldown_s:
            at_us = max(at_us, self.fired_at_us + self.terms.cooldown_s * SECOND_US)
        at_us = max(at_us, self.state.snoozed_until_us or at_us)
        if self.terms.quiet is not None:
            at_us = self.terms.quiet.until_us(at_us) or at_us
        return at_us

    def fired(
        self, now_us: int, seen: Mapping[str, int], *, ts_us: int | None = None, is_pulse: bool = False
    ) -> Rule:
        """This rule after firing.

        Args:
            now_us: now, by the database's clock.
            seen: by feed, the last commit that the new state includes.
            ts_us: the time of the price that fired it; None: now.
            is_pulse: whether its condition is already no longer met.
        """
        recent = self.recent_with(now_us)
        once = self.terms.repeat is Repeat.ONCE
        waiting = self.terms.candle is not None or not (once or is_pulse)
        state = msgspec.structs.replace(
            self.state,
            waiting=waiting,
            fired_ts_us=(now_us if ts_us is None else ts_us) if waiting else None,
            paused=len(recent) > STORM_FIRES,
            recent_us=() if once else recent,
            holding_us=None,
            seen={} if once else seen,
            legs={},
        )
        return msgspec.structs.replace(self, armed=not once, state=state, fired_at_us=now_us)

    def recent_with(self, fired_us: int) -> tuple[int, ...]:
        """When it fired within the last minutes, including ``fired_us``."""
        return (*(at for at in self.state.recent_us if at > fired_us - STORM_US), fired_us)

    def fired_late(self, now_us: int, feed: str, tx: int, ts_us: int) -> Rule:
        """This rule after a late trade of ``ts_us`` fired it. Its live state does not change."""
        fired = self.fired(now_us, self.state.seen)
        if not fired.armed:
            return fired
        state = msgspec.structs.replace(
            self.state,
            recent_us=fired.state.recent_us,
            paused=fired.state.paused,
            late_firings=(*self.state.late_firings, (feed, tx, ts_us))[-MOST_LATE:],
        )
        return msgspec.structs.replace(self, state=state)

    def rearmed(self, now_us: int, seen: Mapping[str, int]) -> Rule:
        """This rule after it is re-armed."""
        state = msgspec.structs.replace(
            self.state, waiting=False, fired_ts_us=None, armed_us=now_us, holding_us=None, seen=seen
        )
        return msgspec.structs.replace(self, state=state)

    def holding(self, since_us: int | None, seen: Mapping[str, int], legs: Mapping[str, str]) -> Rule:
        """This rule with its condition met since ``since_us`` (None: not met), and its tree's memory."""
        state = msgspec.structs.replace(self.state, holding_us=since_us, seen=seen, legs=legs)
        return msgspec.structs.replace(self, state=state)

    def ended(self) -> Rule:
        """This rule after its end: it is no longer watched."""
        return msgspec.structs.replace(self, armed=False)

    def message_for(
        self,
        exchange: str | None,
        price: float | None,
        ts_us: int = 0,
        value: float | None = None,
        detail: str | None = None,
    ) -> str:
        """The message of an alert.

        Args:
            exchange: None for the average, or no exchange.
            price: None for no price.
            ts_us: the time of the price.
            value: what was measured.
            detail: what was measured, in words, if it is not a number.
        """
        if self.terms.template is not None:
            return fill_template(
                self.terms.template,
                {
                    "symbol": str(self.symbol),
                    "exchange": exchange or "average",
                    "price": "" if price is None else price_text(price),
                    "value": detail or "" if value is None else f"{value:,.4g}",
                    "time": moment_text(ts_us),
                    "note": self.note or "",
                    "condition": self.condition.phrase(),
                },
            )
        sentence = self._sentence(exchange, price) + (f": {detail}" if detail else "")
        return f"{self.note}: {sentence}" if self.note else sentence

    def _sentence(self, exchange: str | None, price: float | None) -> str:
        if self.symbol == NO_MARKET:
            phrase = self.condition.phrase()
            return phrase[0].upper() + phrase[1:]
        at = "" if price is None else f" at {price_text(price)}"
        if isinstance(self.condition, Above | Below) and exchange is not None:
            verb = "closed" if self.condition.source is Source.CANDLE else "traded"
            return f"{self.symbol} {verb}{at} on {exchange}, {self.condition.phrase()}"
        where = f" on {exchange}" if exchange is not None else ""
        return f"{self.symbol}{at}{where}: {self.condition.phrase()}"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded firing. ``event_id`` grows in the order of commits, without gaps."""

    event_id: int
    rule_id: int
    symbol: str
    exchange: str | None
    """None if it concerns no single exchange."""
    price: float | None
    """Of the trade or average that fired it; without one, the last known price."""
    ts_us: int
    """The time of that price: for a trade by the exchange's clock, else by the database's."""
    message: str
    trade_id: int | None = None
    """None if no trade fired it, or the source of the alert does not include it."""
    value: float | None = None
    """What was measured, in the unit of the condition; None if that is only a price."""
    late: bool = False
    """Whether a trade that was recovered after its time fired it."""
    degraded: bool = False
    """Whether a stream gap of the market was open."""
    paused: bool = False
    """Whether the rule fired too often and is paused."""
    client: str | None = None
    connection: str | None = None


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its placeholders replaced.

    Raises:
        KeyError: for a placeholder that is not in ``values``.
        ValueError: for braces that contain more than a name.
    """
    filled = []
    for text, name, form, conversion in string.Formatter().parse(template):
        filled.append(text)
        if name is not None:
            if form or conversion:
                raise ValueError(f"a placeholder contains only its name: {name!r}")
            filled.append(values[name])
    return "".join(filled)
