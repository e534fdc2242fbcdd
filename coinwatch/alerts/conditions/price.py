"""Conditions on a price: at a level, across it, off a peg."""

from __future__ import annotations

from typing import Annotated

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Direction, Priced, Way
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.conditions.registry import Declaration, declare
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.alerts.texts import price_text

MIN_STEP_PERCENT = 0.01
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


class Every(Priced, frozen=True, kw_only=True, tag="every"):
    """The price reaches a step other than the one it reached last. Steps are the prices above 0 of
    ``base`` * (1 + k * ``percent`` / 100) for all whole k: ``base`` itself (k = 0), above and below it."""

    percent: Annotated[float, fields.percent("Step, percent")]
    base: Annotated[float, fields.price("Base price")]

    def refuse_contradictions(self) -> None:
        super().refuse_contradictions()
        if self.percent < MIN_STEP_PERCENT:
            hint = f"a step of at least {MIN_STEP_PERCENT:g} percent"
            raise InvalidField("bad_percent", f"percent is {self.percent:g}", hint)

    def phrase(self) -> str:
        return f"at a new step of {self.percent:g} % from {price_text(self.base)}"

    def step(self, k: int) -> float:
        """The price of a step, to the 15 digits that a price can have: 10 % above 100 is 110."""
        return float(f"{self.base * (1 + k * self.percent / 100):.15g}")


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
declare(
    Declaration(
        struct=Every,
        title="Every step of percent",
        hint="Each time the price reaches another multiple of the step, above or below the base price.",
        example='{"type":"every","percent":5,"base":60000}',
        momentary_with={},
        meaningless_terms=("hysteresis",),
        options=(
            Option(
                "every",
                "Alert at each step of this many percent from --base, up or down.",
                "percent",
                companions=(
                    Companion("base", "base", "The price that --every counts from.", float, is_required=True),
                ),
            ),
        ),
    )
)
