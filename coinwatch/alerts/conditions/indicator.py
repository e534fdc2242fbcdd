"""Conditions on indicators of closed candles: moving averages, RSI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Condition, Direction, MovingAverage, Way
from coinwatch.alerts.conditions.options import Companion, Option
from coinwatch.alerts.conditions.price import DIRECTION, WAYS
from coinwatch.alerts.conditions.registry import Declaration, Input, declare
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.intervals import Interval

SIDES = {"above": "at or above", "below": "at or below"}

_CANDLES = fields.choice(Interval, "Candle interval", fields.INTERVALS, start="1h")
_INTERVAL = Companion(
    "interval",
    "interval",
    "The candles of --ma-cross and the RSI: 1m, 5m, 15m, 1h, 4h, 1d.",
    is_required=True,
)


class AverageCross(Condition, frozen=True, kw_only=True, tag="ma_cross"):
    """The moving average of the last ``fast`` closed candles crosses that of the last ``slow``."""

    fast: Annotated[int, fields.count("Fast average, candles", 1, 500, start=50)]
    slow: Annotated[int, fields.count("Slow average, candles", 2, 500, start=200)]
    interval: Annotated[Interval, _CANDLES]
    way: Annotated[
        Way, fields.choice(Way, "Direction", WAYS, start="either", hint="Of the fast average.")
    ] = Way.EITHER
    average: Annotated[
        MovingAverage,
        fields.choice(MovingAverage, "Average", {"sma": "simple", "ema": "exponential"}, start="sma"),
    ] = MovingAverage.SIMPLE

    def refuse_contradictions(self) -> None:
        if self.fast >= self.slow:
            raise InvalidField(
                "bad_fast", f"fast is {self.fast} and slow is {self.slow}", "fewer candles fast than slow"
            )

    def phrase(self) -> str:
        way = "" if self.way is Way.EITHER else f" {self.way}"
        return f"its average of {self.fast} candles of {self.interval} crossing{way} that of {self.slow}"


class Rsi(Condition, frozen=True, kw_only=True, tag="rsi"):
    """The relative strength index (Wilder) of closed candles, 0 to 100, is at ``level`` or beyond it."""

    level: Annotated[float, fields.level("Level", 0, 100, start=70.0)]
    side: Annotated[Direction, fields.choice(Direction, "Side", SIDES, start="above")]
    interval: Annotated[Interval, _CANDLES]
    period: Annotated[int, fields.count("Period, candles", 2, 200, start=14)] = 14

    def phrase(self) -> str:
        return f"its RSI({self.period}) on {self.interval} at or {self.side} {self.level:g}"


def _fast_and_slow(text: str) -> Mapping[str, Any]:
    fast, _, slow = (part.strip() for part in text.partition(","))
    if not (fast.isdecimal() and slow.isdecimal()):
        raise InvalidField("bad_ma_cross", f"--ma-cross is {text!r}", "two numbers of candles, like 50,200")
    return {"fast": int(fast), "slow": int(slow)}


def _rsi_option(side: str) -> Option:
    return Option(
        f"rsi_{side}",
        f"Alert when the RSI of candles of --interval is at this level or {side}.",
        "level",
        fixed={"direction": side},
        companions=(_INTERVAL,),
    )


declare(
    Declaration(
        struct=AverageCross,
        title="Moving averages cross",
        example='{"type":"ma_cross","fast":50,"slow":200,"interval":"1h","direction":"up"}',
        input=Input.CANDLES,
        measures="percent of the fast average above the slow",
        momentary_with={"direction": "either"},
        options=(
            Option(
                "ma_cross",
                "Alert when a moving average crosses a slower one: 50,200 candles of --interval.",
                value=str,
                companions=(_INTERVAL, DIRECTION),
                parse=_fast_and_slow,
            ),
        ),
    )
)
declare(
    Declaration(
        struct=Rsi,
        title="RSI",
        hint="The relative strength index of closed candles, 0 to 100.",
        example='{"type":"rsi","level":70,"direction":"above","interval":"1h"}',
        input=Input.CANDLES,
        measures="RSI",
        options=(_rsi_option("above"), _rsi_option("below")),
    )
)
