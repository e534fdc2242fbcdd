"""The base of all conditions, and the choices they offer. All frozen."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.intervals import Interval

MAX_PARTS = 10
"""Of a group."""


class Source(StrEnum):
    """The price a condition is evaluated on."""

    TRADE = "trade"
    """Each trade."""
    AVERAGE = "average"
    """The average of the pair across exchanges, once a second."""
    CANDLE = "candle"
    """The close of each closed candle."""


class Direction(StrEnum):
    """The side of a level on which a condition is met. Both include the level itself."""

    ABOVE = "above"
    BELOW = "below"


class Side(StrEnum):
    """As Direction, for a distance that can be on both sides."""

    ABOVE = "above"
    BELOW = "below"
    EITHER = "either"


class Way(StrEnum):
    """The direction in which a level is crossed."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class Move(StrEnum):
    """The direction in which a price changes over a window."""

    RISE = "rise"
    FALL = "fall"
    EITHER = "either"


class MovingAverage(StrEnum):
    """How a moving average weighs its candles."""

    SIMPLE = "sma"
    EXPONENTIAL = "ema"


def _field_name(attribute: str) -> str:
    """The name of a field in the protocol: without its unit, and ``direction`` for a side or way."""
    return "direction" if attribute in ("side", "way") else attribute.removesuffix("_s")


class Condition(
    msgspec.Struct, frozen=True, gc=False, tag_field="type", rename=_field_name, forbid_unknown_fields=True
):
    """Something that is or is not met by a market, a pair or neither, at a moment."""

    def phrase(self) -> str:
        """The condition in words, as the end of a sentence: ``at or above 70,000``."""
        raise NotImplementedError

    def refuse_contradictions(self) -> None:
        """Raise InvalidField for fields that contradict each other."""


class Group(Condition, frozen=True, kw_only=True):
    """A condition made of others."""

    of: Annotated[tuple[Condition, ...], fields.parts(MAX_PARTS)]


class Priced(Condition, frozen=True):
    """A condition on a price, which can be that of trades, averages or candles."""

    source: Annotated[
        Source,
        fields.choice(
            Source,
            "Price source",
            {"trade": "every trade", "average": "price average", "candle": "closed candles"},
            start="trade",
            hint="Every trade, the average across exchanges once a second, or the close of each candle.",
        ),
    ] = Source.TRADE
    interval: Annotated[
        Interval | None,
        fields.choice(
            Interval, "Candle interval", fields.INTERVALS, start="1h", only_with={"source": "candle"}
        ),
    ] = None
    """Of the candles, if the source is ``candle``."""

    def refuse_contradictions(self) -> None:
        if (self.source is Source.CANDLE) != (self.interval is not None):
            raise InvalidField(
                "bad_interval",
                "source candle and an interval go together",
                '"source":"candle","interval":"1h"',
            )
