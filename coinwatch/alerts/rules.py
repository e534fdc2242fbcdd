"""Rules as asked for and as stored, and the alerts they make. All frozen; changes make new ones."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from coinwatch.alerts.conditions import Above, Below, Condition, Source
from coinwatch.alerts.texts import moment_text, price_text
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US, from_datetime, to_datetime

STORM_FIRES = 15
STORM_US = 3 * MINUTE_US
"""A rule that fires more often than STORM_FIRES within this is paused."""
MOST_LATE = STORM_FIRES + 5
"""So many late trades are remembered by a rule: more would have paused it."""

NO_MARKET = Symbol("NO", "MARKET")
"""What rules on no market are kept under, and the symbol of their alerts."""

PLACEHOLDERS = ("symbol", "exchange", "price", "value", "time", "note", "condition")
"""What a message template may name, in braces."""


class Repeat(StrEnum):
    """How often a rule fires."""

    ONCE = "once"
    EVERY = "every"
    """Each time its condition is met anew."""
    CANDLE = "candle"
    """At most once in each candle of an interval."""


class Quiet(msgspec.Struct, frozen=True):
    """Hours of each day in which nothing is told, in a time zone; they may go over midnight."""

    from_minute: int
    """Of the day."""
    to_minute: int
    tz: str = "UTC"

    def until_us(self, now_us: int) -> int | None:
        """When the quiet hours that ``now_us`` falls in end; None outside of them."""
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
    """So long must the condition be met before it counts, by the database's clock."""
    confirmed_on: int = 1
    """On so many exchanges at once."""
    repeat: Repeat = Repeat.ONCE
    candle: Interval | None = None
    """Of ``repeat`` by candle."""
    hysteresis: float = 0.0
    """So far must it come back to be armed anew: percent of a price, else in the condition's own unit."""
    cooldown_s: int = 0
    expires_at_us: int | None = None
    quiet: Quiet | None = None
    template: str | None = None
    """The message, with placeholders; None for the plain sentence."""


class RuleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule has come to. Stored with each claim, so that any endpoint can go on from there."""

    waiting: bool = False
    """It has fired, and waits for its condition to be met no more."""
    paused: bool = False
    """It fired too often. It is watched for again when its owner says so."""
    armed_us: int | None = None
    """When it was armed again last; None: when it was made."""
    told_us: int | None = None
    """The time of the price that has fired it, while it waits."""
    holding_us: int | None = None
    """Since when its condition is met, where it has to hold."""
    snoozed_until_us: int | None = None
    recent_us: tuple[int, ...] = ()
    """When it fired within the last minutes, by the database's clock."""
    seen: Mapping[str, int] = {}
    """By feed, the last commit that is part of this state: what is not after it says nothing new."""
    legs: Mapping[str, str] = {}
    """By place, which of its parts were met, where the last prices alone do not say so."""
    told_late: tuple[tuple[str, int, int], ...] = ()
    """The last late trades that fired it, each as its feed, its commit and its time."""

    def was_told_late_of(self, feed: str, tx: int) -> bool:
        """Whether late trades of a feed in commit ``tx`` fired it."""
        return any((feed, tx) == (told_feed, told_tx) for told_feed, told_tx, _ in self.told_late)


NO_TERMS = Terms()
NEW = RuleState()


class NewRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as its owner asks for it. It belongs to a named client or to one connection, never both."""

    symbol: Symbol
    exchange: str | None = None
    """None: the pair on any exchange."""
    condition: Condition
    terms: Terms = NO_TERMS
    typed: str
    """The symbol as its owner wrote it."""
    note: str | None = None
    client: str | None = None
    connection: str | None = None


class Rule(NewRule, frozen=True, kw_only=True):
    """A rule as stored. While it is ``armed`` it is watched for; fired for good or expired it is not."""

    id: int
    armed: bool = True
    state_no: int = 0
    """Grows with each claim, so that a claim made on an older state comes to nothing."""
    state: RuleState = NEW
    created_at_us: int
    fired_at_us: int | None = None

    @property
    def armed_since_us(self) -> int:
        return self.state.armed_us if self.state.armed_us is not None else self.created_at_us

    @property
    def rearms_at_us(self) -> int | None:
        """When it is armed again, if it fires once per candle and has fired: by the clock of prices."""
        candle, told_us = self.terms.candle, self.state.told_us
        return None if candle is None or told_us is None else candle.floor(told_us) + candle.us

    def ready_at_us(self, now_us: int) -> int:
        """When it may fire at the earliest, as known at ``now_us``: not in a cooldown, not while quiet."""
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
        """This rule, having fired at a price of ``ts_us`` (None: now). ``is_pulse``: that is over at once."""
        recent = self.recent_with(now_us)
        once = self.terms.repeat is Repeat.ONCE
        waiting = self.terms.candle is not None or not (once or is_pulse)
        state = msgspec.structs.replace(
            self.state,
            waiting=waiting,
            told_us=(now_us if ts_us is None else ts_us) if waiting else None,
            paused=len(recent) > STORM_FIRES,
            recent_us=() if once else recent,
            holding_us=None,
            seen={} if once else seen,
            legs={},
        )
        return msgspec.structs.replace(self, armed=not once, state=state, fired_at_us=now_us)

    def recent_with(self, fired_us: int) -> tuple[int, ...]:
        """When it fired within the last minutes, ``fired_us`` included."""
        return (*(at for at in self.state.recent_us if at > fired_us - STORM_US), fired_us)

    def fired_late(self, now_us: int, feed: str, tx: int, ts_us: int) -> Rule:
        """This rule, having fired by a trade of ``ts_us`` that came late: nothing live is changed by it."""
        fired = self.fired(now_us, self.state.seen)
        if not fired.armed:
            return fired
        state = msgspec.structs.replace(
            self.state,
            recent_us=fired.state.recent_us,
            paused=fired.state.paused,
            told_late=(*self.state.told_late, (feed, tx, ts_us))[-MOST_LATE:],
        )
        return msgspec.structs.replace(self, state=state)

    def rearmed(self, now_us: int, seen: Mapping[str, int]) -> Rule:
        state = msgspec.structs.replace(
            self.state, waiting=False, told_us=None, armed_us=now_us, holding_us=None, seen=seen
        )
        return msgspec.structs.replace(self, state=state)

    def holding(self, since_us: int | None, seen: Mapping[str, int], legs: Mapping[str, str]) -> Rule:
        """This rule, its condition met since ``since_us`` (None: not met), its parts as ``legs`` says."""
        state = msgspec.structs.replace(self.state, holding_us=since_us, seen=seen, legs=legs)
        return msgspec.structs.replace(self, state=state)

    def ended(self) -> Rule:
        """This rule, watched for no more."""
        return msgspec.structs.replace(self, armed=False)

    def message_for(
        self,
        exchange: str | None,
        price: float | None,
        ts_us: int = 0,
        value: float | None = None,
        detail: str | None = None,
    ) -> str:
        """What the subscriber reads when this rule fires: at a price, on an exchange or on the average."""
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
            said = self.condition.phrase()
            return said[0].upper() + said[1:]
        at = "" if price is None else f" at {price_text(price)}"
        if isinstance(self.condition, Above | Below) and exchange is not None:
            did = "closed" if self.condition.source is Source.CANDLE else "traded"
            return f"{self.symbol} {did}{at} on {exchange}, {self.condition.phrase()}"
        where = f" on {exchange}" if exchange is not None else ""
        return f"{self.symbol}{at}{where}: {self.condition.phrase()}"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A fired rule. ``event_id`` grows in the order of the database's commits, without gaps."""

    event_id: int
    rule_id: int
    symbol: str
    exchange: str | None
    """None where no single exchange is meant."""
    price: float | None
    """Of the very trade or average that fired it; where neither did, the last one known."""
    ts_us: int
    """That price's time: a trade's on the exchange's clock, else on the database's."""
    message: str
    trade_id: int | None = None
    """None where no trade fired it, or the teller does not say."""
    value: float | None = None
    """What was measured, in the unit of the condition; None for a plain price."""
    late: bool = False
    """By a trade that was recovered after its time."""
    degraded: bool = False
    """While an interruption of the market's stream was not filled."""
    paused: bool = False
    """The rule fired too often and is paused."""
    client: str | None = None
    connection: str | None = None


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its placeholders replaced.

    Raises KeyError for one that is none of ``values``, ValueError where braces hold more than a name.
    """
    filled = []
    for text, name, form, conversion in string.Formatter().parse(template):
        filled.append(text)
        if name is not None:
            if form or conversion:
                raise ValueError(f"a placeholder takes nothing but its name: {name!r}")
            filled.append(values[name])
    return "".join(filled)
