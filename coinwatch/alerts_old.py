"""What subscribers watch for and what they are told: conditions, rules, alerts. All frozen."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from math import isfinite

import msgspec

from coinwatch.records import Symbol


class Direction(StrEnum):
    """On which side of its price a condition is met; the price itself is met by both."""

    ABOVE = "above"
    BELOW = "below"


class Condition(msgspec.Struct, frozen=True):
    """A trade at ``price`` or beyond it. Raises ValueError for a price that no trade can have."""

    type: Direction
    price: float
    """In the quote asset; finite and above 0."""

    def __post_init__(self) -> None:
        if not (isfinite(self.price) and self.price > 0):
            raise ValueError(f"a price is a finite number above 0, not {self.price}")

    def met_by(self, price: float) -> bool:
        return price >= self.price if self.type is Direction.ABOVE else price <= self.price


class NewRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as its owner asks for it. It belongs to a named client or to one connection, never both."""

    symbol: Symbol
    exchange: str | None = None
    """None: the pair on any exchange."""
    condition: Condition
    typed: str
    """The symbol as its owner wrote it."""
    note: str | None = None
    message: str | None = None
    """What to send instead of the plain sentence."""
    client: str | None = None
    connection: str | None = None


class Rule(NewRule, frozen=True, kw_only=True):
    """A rule as stored. It fires once: then it is not ``armed`` any more."""

    id: int
    armed: bool = True
    state_no: int = 0
    """Grows with each claim, so that a claim made on an older state comes to nothing."""
    created_at_us: int
    fired_at_us: int | None = None

    def message_for(self, exchange: str, price: float) -> str:
        """What the subscriber reads when a trade on ``exchange`` at ``price`` fires this rule."""
        if self.message is not None:
            return self.message
        side = "at or above" if self.condition.type is Direction.ABOVE else "at or below"
        sentence = (
            f"{self.symbol} traded at {price_text(price)} on {exchange}, "
            f"{side} {price_text(self.condition.price)}"
        )
        return f"{self.note}: {sentence}" if self.note else sentence


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A fired rule. ``event_id`` grows in the order of the database's commits, without gaps."""

    event_id: int
    rule_id: int
    symbol: str
    exchange: str
    price: float
    """Of the very trade that fired it."""
    ts_us: int
    """The trade's time on the exchange's clock."""
    message: str
    trade_id: int | None = None
    """None where the teller does not say."""
    client: str | None = None
    connection: str | None = None


def price_text(price: float) -> str:
    """``price`` for people: all its digits, thousands apart, no exponent."""
    text = f"{Decimal(repr(price)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
