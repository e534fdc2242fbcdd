"""Conditions on a rolling window: a change of price, a new high or low, unusual volume."""

from __future__ import annotations

from typing import Annotated

import msgspec

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Condition, Move, Priced
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.conditions.registry import Declaration, Input, declare
from coinwatch.alerts.field_parsers import DAY_S, InvalidField
from coinwatch.alerts.texts import duration_text

_MOVES = {Move.RISE: "risen", Move.FALL: "fallen", Move.EITHER: "moved"}
_WITHIN_HELP = "The window of --rises, --falls, --moves and --volume, such as 15m."


class Change(Priced, frozen=True, kw_only=True, tag="change"):
    """The price is ``percent`` above the lowest (``rise``) or below the highest (``fall``) of the window
    ``within`` that ends now."""

    percent: Annotated[float, fields.percent()]
    within_s: Annotated[int, fields.duration("Within", start="15m")]
    way: Annotated[
        Move,
        fields.choice(
            Move, "Direction", {"either": "either way", "rise": "rise", "fall": "fall"}, start="either"
        ),
    ] = Move.EITHER

    def phrase(self) -> str:
        return f"{_MOVES[self.way]} by {self.percent:g} % within {duration_text(self.within_s)}"


class NewHigh(Priced, frozen=True, kw_only=True, tag="new_high"):
    """The price is above every other price of the window ``over``, and the whole window is known."""

    over_s: Annotated[int, fields.duration("Highest in", start="24h")]

    def phrase(self) -> str:
        return f"the highest in {duration_text(self.over_s)}"


class NewLow(Priced, frozen=True, kw_only=True, tag="new_low"):
    """The price is below every other price of the window ``over``, and the whole window is known."""

    over_s: Annotated[int, fields.duration("Lowest in", start="24h")]

    def phrase(self) -> str:
        return f"the lowest in {duration_text(self.over_s)}"


class Volume(Condition, frozen=True, kw_only=True, tag="volume"):
    """The volume of the window ``over`` is at least ``times`` the usual: the mean volume of such a window
    in the period ``usual`` before it."""

    over_s: Annotated[int, fields.duration("Within", start="5m", usual=fields.WINDOWS[:5])]
    times: Annotated[float, fields.times("Times the usual", start=3.0)]
    usual_s: Annotated[
        int,
        fields.duration(
            "Usual volume from",
            start="1d",
            usual=("1d", "7d", "30d"),
            hint="The period before the window from which the usual volume is computed.",
        ),
    ] = msgspec.field(default_factory=int)
    """If it is left out: a day, or ten windows if that is longer."""

    def __post_init__(self) -> None:
        if not self.usual_s:
            msgspec.structs.force_setattr(self, "usual_s", max(DAY_S, 10 * self.over_s))

    def refuse_contradictions(self) -> None:
        if self.usual_s < 2 * self.over_s:
            raise InvalidField(
                "bad_usual", "usual is shorter than two windows", "at least twice as long as over"
            )

    def phrase(self) -> str:
        return f"with {self.times:g} times the usual volume within {duration_text(self.over_s)}"


def _change_option(name: str, hint: str, direction: str) -> Option:
    within = Companion("within", "within", _WITHIN_HELP, is_required=True)
    return Option(name, hint, "percent", fixed={"direction": direction}, companions=(within,))


declare(
    Declaration(
        struct=Change,
        title="Price changes by",
        hint="Above the lowest, or below the highest, price of the window that ends now.",
        example='{"type":"change","percent":5,"within":"15m","direction":"fall"}',
        measures="percent of change",
        options=(
            _change_option("rises", "Alert at this many percent above the lowest price --within.", "rise"),
            _change_option("falls", "Alert at this many percent below the highest price --within.", "fall"),
            _change_option("moves", "Alert at this many percent in either direction.", "either"),
        ),
    )
)
declare(
    Declaration(
        struct=NewHigh,
        title="New high",
        hint="Above every other price of that time.",
        example='{"type":"new_high","over":"24h"}',
        measures="percent above the highest before",
        options=(Option("new_high", "Alert at the highest price of this long, such as 24h.", "over", str),),
    )
)
declare(
    Declaration(
        struct=NewLow,
        title="New low",
        hint="Below every other price of that time.",
        example='{"type":"new_low","over":"7d"}',
        measures="percent below the lowest before",
        options=(Option("new_low", "Alert at the lowest price of this long.", "over", str),),
    )
)
declare(
    Declaration(
        struct=Volume,
        title="Unusual volume",
        example='{"type":"volume","over":"5m","times":3,"usual":"1d"}',
        input=Input.TRADES,
        measures="multiple of the usual volume",
        options=(
            Option(
                "volume",
                "Alert when the volume --within is this many times the usual.",
                "times",
                companions=(Companion("within", "over", _WITHIN_HELP, is_required=True),),
            ),
        ),
    )
)
