"""Conditions on a price: at a level, across it, off a peg."""

from __future__ import annotations

from typing import Annotated

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Direction, Priced, Way
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.conditions.registry import Declaration, declare
from coinwatch.alerts.texts import price_text

WAYS = {"either": "either way", "up": "up", "down": "down"}
DIRECTION = Companion(
    "direction", "direction", "up or down, for --crosses and --ma-cross. Default: either way."
)


class Above(Priced, frozen=True, kw_only=True, tag="above"):
    """The price is at or above ``price``."""

    price: Annotated[float, fields.price()]

    def met_by(self, price: float) -> bool:
        """Whether this price meets it."""
        return price >= self.price

    def phrase(self) -> str:
        return f"at or above {price_text(self.price)}"


class Below(Priced, frozen=True, kw_only=True, tag="below"):
    """The price is at or below ``price``."""

    price: Annotated[float, fields.price()]

    def met_by(self, price: float) -> bool:
        """Whether this price meets it."""
        return price <= self.price

    def phrase(self) -> str:
        return f"at or below {price_text(self.price)}"


class Crosses(Priced, frozen=True, kw_only=True, tag="crosses"):
    """The price was on one side of ``price`` after the rule was created or re-armed, and now reaches it."""

    price: Annotated[float, fields.price()]
    way: Annotated[Way, fields.choice(Way, "Direction", WAYS, start="either")] = Way.EITHER

    def phrase(self) -> str:
        way = "" if self.way is Way.EITHER else f" {self.way}"
        return f"crossing{way} {price_text(self.price)}"


class Depeg(Priced, frozen=True, kw_only=True, tag="depeg"):
    """The price is at least ``percent`` away from ``peg``, on either side."""

    percent: Annotated[float, fields.percent("Percent off", start=0.5)]
    peg: Annotated[float, fields.price("Peg", start=1.0)] = 1.0

    def phrase(self) -> str:
        return f"{self.percent:g} % or more off its peg of {price_text(self.peg)}"


def price_condition(side: Direction, price: float) -> Above | Below:
    """A trade at ``price`` or beyond it."""
    return Above(price=price) if side is Direction.ABOVE else Below(price=price)


declare(
    Declaration(
        struct=Above,
        title="Price at or above",
        example='{"type":"above","price":1.0}',
        is_known_at_once=True,
        options=(Option("above", "Alert at this price or above.", "price"),),
    )
)
declare(
    Declaration(
        struct=Below,
        title="Price at or below",
        example='{"type":"below","price":1.0}',
        is_known_at_once=True,
        options=(Option("below", "Alert at this price or below.", "price"),),
    )
)
declare(
    Declaration(
        struct=Crosses,
        title="Price crosses",
        hint="The price was on one side of the level and now reaches it.",
        example='{"type":"crosses","price":70000,"direction":"up"}',
        momentary_with={"direction": "either"},
        options=(
            Option(
                "crosses",
                "Alert when the price crosses this one; --direction for one way only.",
                "price",
                companions=(DIRECTION,),
            ),
        ),
    )
)
declare(
    Declaration(
        struct=Depeg,
        title="Off its peg",
        hint="On either side. The peg of a stablecoin is usually 1.",
        example='{"type":"depeg","percent":0.5}',
        measures="percent off the peg",
        options=(
            Option("depeg", "Alert when the price is this many percent off 1, for a stablecoin.", "percent"),
        ),
    )
)
