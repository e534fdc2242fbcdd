"""Conditions that compare exchanges: away from the average, apart from each other."""

from __future__ import annotations

from typing import Annotated

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Condition, Side
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.conditions.registry import Declaration, Input, Scope, declare
from coinwatch.alerts.field_parsers import InvalidField

_SIDES = {Side.ABOVE: "above", Side.BELOW: "below", Side.EITHER: "away from"}


class FromAverage(Condition, frozen=True, kw_only=True, tag="from_average"):
    """The last price of a market is at least ``percent`` away from the average of its pair."""

    percent: Annotated[float, fields.percent()]
    side: Annotated[
        Side,
        fields.choice(
            Side, "Side", {"either": "either side", "above": "above", "below": "below"}, start="either"
        ),
    ] = Side.EITHER

    def phrase(self) -> str:
        return f"{self.percent:g} % {_SIDES[self.side]} the average across exchanges"


class Spread(Condition, frozen=True, kw_only=True, tag="spread"):
    """The last prices on two exchanges, at most five minutes apart in time, differ by at least ``percent``
    of the lower."""

    exchanges: Annotated[tuple[str, str], fields.exchanges()]
    percent: Annotated[float, fields.percent(start=0.5, hint="Of the lower price.")]

    def refuse_contradictions(self) -> None:
        first, second = self.exchanges
        if first == second:
            raise InvalidField("bad_exchanges", f"both exchanges are {first}", "two different exchanges")

    def phrase(self) -> str:
        return f"{self.percent:g} % apart between {self.exchanges[0]} and {self.exchanges[1]}"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


declare(
    Declaration(
        struct=FromAverage,
        title="Away from the average",
        hint="The last price on an exchange against the average of the pair across exchanges.",
        example='{"type":"from_average","percent":1,"direction":"either"}',
        input=Input.AVERAGE,
        measures="percent from the average, below it negative",
        options=(
            Option(
                "off_average",
                "Alert when a market is this many percent off the average of its pair.",
                "percent",
            ),
        ),
    )
)
declare(
    Declaration(
        struct=Spread,
        title="Price gap between two exchanges",
        example='{"type":"spread","exchanges":["binance","kraken"],"percent":0.5}',
        scope=Scope.PAIR,
        input=Input.TRADES,
        measures="percent of the lower price",
        options=(
            Option(
                "spread",
                "Alert when two exchanges are this many percent apart: --between.",
                "percent",
                companions=(
                    Companion(
                        "between",
                        "exchanges",
                        "The two exchanges of --spread: binance,kraken.",
                        is_required=True,
                        parse=_names,
                    ),
                ),
            ),
        ),
    )
)
