"""What can be filled in of an alert: each condition and the terms, described once. Pure.

The form draws what is described here, checks what it says of bounds, and sends the rest to
``coinwatch.alerts.condition_parser`` under the names given here, which are those of the alert protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from coinwatch.intervals import Interval


class Kind(StrEnum):
    """How a field is filled in."""

    PRICE = "price"
    NUMBER = "number"
    COUNT = "count"
    DURATION = "duration"
    CHOICE = "choice"
    EXCHANGES = "exchanges"
    """Two of those that trade the pair."""
    TEXT = "text"


@dataclass(frozen=True)
class Field:
    """One thing to fill in; ``name`` is that of the protocol."""

    name: str
    label: str
    kind: Kind
    default: Any = None
    """What the form begins with."""
    choices: Mapping[str, str] | None = None
    """What can be chosen, and how it is called."""
    low: float | None = None
    high: float | None = None
    step: float = 1.0
    usual: tuple[str, ...] = ()
    """Lengths of time that are offered; any other can be typed."""
    optional: bool = False
    help: str | None = None
    only_with: Mapping[str, str] | None = None
    """It matters only where these other fields say so."""

    @property
    def fitting(self) -> Any:
        """Something that could be filled in."""
        if self.default is None:
            return {Kind.PRICE: 1.0, Kind.DURATION: "1h", Kind.EXCHANGES: ["binance", "kraken"]}.get(
                self.kind
            )
        return self.default

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Whether it has a meaning beside ``values`` of the other fields."""
        return all(values.get(name) == wanted for name, wanted in (self.only_with or {}).items())


@dataclass(frozen=True)
class Form:
    """A condition: how it is called and what there is to fill in."""

    title: str
    fields: tuple[Field, ...] = ()
    help: str = ""
    unmatched: tuple[str, ...] = ()
    """Terms that have no meaning for it."""


INTERVALS = {interval.value: interval.value for interval in Interval}
_WINDOWS = ("5m", "15m", "1h", "4h", "24h", "7d", "30d")

_SOURCE = Field(
    "source",
    "Looks at",
    Kind.CHOICE,
    "trade",
    {"trade": "every trade", "average": "the average", "candle": "closed candles"},
    help="Every trade; the average over the exchanges, once a second; or the close of each candle.",
)
_CANDLES = Field("interval", "Candles of", Kind.CHOICE, "1h", INTERVALS)
_SOURCES = (
    _SOURCE,
    Field("interval", "Candles of", Kind.CHOICE, "1h", INTERVALS, only_with={"source": "candle"}),
)
_PRICE = Field("price", "Price", Kind.PRICE)
_PERCENT = Field("percent", "Percent", Kind.NUMBER, 1.0, step=0.1)
_SIDE = {"above": "at or above", "below": "at or below"}
_WAY = {"either": "either way", "up": "up", "down": "down"}
_OVER = Field("over", "Of the last", Kind.DURATION, "24h", usual=_WINDOWS)
_LASTING = ("holds_for",)
_MARKETS = ("confirmed_on",)
_NO_LEVEL = ("hysteresis",)


def _level(label: str, low: float, high: float, default: float, step: float) -> tuple[Field, Field]:
    return (
        Field("direction", "Side", Kind.CHOICE, "above" if default > 0 else "below", _SIDE),
        Field("level", label, Kind.NUMBER, default, low=low, high=high, step=step),
    )


CONDITIONS: Mapping[str, Form] = {
    "above": Form("Price at or above", (_PRICE, *_SOURCES)),
    "below": Form("Price at or below", (_PRICE, *_SOURCES)),
    "crosses": Form(
        "Price crosses",
        (_PRICE, Field("direction", "Way", Kind.CHOICE, "either", _WAY), *_SOURCES),
        "It was on one side of the price and is now at it or beyond.",
    ),
    "change": Form(
        "Price changes by",
        (
            _PERCENT,
            Field("within", "Within", Kind.DURATION, "15m", usual=_WINDOWS),
            Field(
                "direction",
                "Way",
                Kind.CHOICE,
                "either",
                {"either": "either way", "rise": "rise", "fall": "fall"},
            ),
            *_SOURCES,
        ),
        "Above the lowest, or below the highest, price of the window that ends now.",
    ),
    "new_high": Form("New high", (_OVER, *_SOURCES), "Above every other price of that time."),
    "new_low": Form("New low", (_OVER, *_SOURCES), "Below every other price of that time."),
    "from_average": Form(
        "Away from the average",
        (
            _PERCENT,
            Field(
                "direction",
                "Side",
                Kind.CHOICE,
                "either",
                {"either": "either side", "above": "above", "below": "below"},
            ),
        ),
        "The last price on an exchange beside the average of the pair over all of them.",
    ),
    "spread": Form(
        "Two exchanges apart",
        (
            Field("exchanges", "Exchanges", Kind.EXCHANGES),
            Field("percent", "Percent", Kind.NUMBER, 0.5, step=0.1, help="Of the lower of the two prices."),
        ),
        unmatched=_MARKETS,
    ),
    "volume": Form(
        "Unusual volume",
        (
            Field("over", "Within", Kind.DURATION, "5m", usual=_WINDOWS[:5]),
            Field("times", "Times the usual", Kind.NUMBER, 3.0, step=0.5),
            Field(
                "usual",
                "Usual is that of the last",
                Kind.DURATION,
                "1d",
                usual=("1d", "7d", "30d"),
                help="How far back the usual volume is taken from, before the window.",
            ),
        ),
    ),
    "ma_cross": Form(
        "Moving averages cross",
        (
            Field("fast", "Fast, candles", Kind.COUNT, 50),
            Field("slow", "Slow, candles", Kind.COUNT, 200),
            _CANDLES,
            Field("direction", "Way", Kind.CHOICE, "either", _WAY, help="Of the fast one."),
            Field("average", "Average", Kind.CHOICE, "sma", {"sma": "simple", "ema": "exponential"}),
        ),
    ),
    "rsi": Form(
        "RSI",
        (
            *_level("Level", 0, 100, 70.0, 1.0),
            _CANDLES,
            Field("period", "Over candles", Kind.COUNT, 14),
        ),
        "The relative strength index of closed candles, 0 to 100.",
    ),
    "fear_greed": Form(
        "Fear & Greed index",
        _level("Index", 0, 100, 75.0, 1.0),
        "Of the whole market: 0 is extreme fear, 100 extreme greed.",
        unmatched=_MARKETS,
    ),
    "sentiment": Form(
        "News sentiment",
        _level("Score", -1, 1, 0.5, 0.1),
        "Of the asset, from −1 to 1.",  # noqa: RUF001  # a minus
        unmatched=_MARKETS,
    ),
    "silent": Form(
        "Market silent",
        (Field("for", "For", Kind.DURATION, "1m", usual=("30s", "1m", "5m", "15m", "1h")),),
        "Nothing was heard of the market for so long.",
        unmatched=(*_NO_LEVEL, *_LASTING),
    ),
    "gap": Form(
        "Interruption not filled",
        help="Trades of the market are missing and could not be fetched yet.",
        unmatched=_NO_LEVEL,
    ),
    "job_failed": Form(
        "Job failed",
        (
            Field(
                "job",
                "Job",
                Kind.TEXT,
                optional=True,
                help="The name of a job of the pipelines, as Dagster shows it; any when it is empty.",
            ),
        ),
        "A job of the pipelines has failed and is not tried again.",
        unmatched=(*_NO_LEVEL, *_LASTING, *_MARKETS),
    ),
    "depeg": Form(
        "Off its peg",
        (
            Field("percent", "Percent off", Kind.NUMBER, 0.5, step=0.1),
            Field("peg", "Peg", Kind.PRICE, 1.0),
            *_SOURCES,
        ),
        "On either side; for a stablecoin, mostly 1.",
    ),
}
"""By their type in the protocol."""

REPEAT = Field(
    "repeat",
    "Fires",
    Kind.CHOICE,
    "once",
    {"once": "once", "every": "every time", "candle": "once a candle"},
    help="Every time: when it is met anew, having been met no more meanwhile.",
)
REPEATING: tuple[Field, ...] = (
    Field("candle", "Candle", Kind.CHOICE, "1h", INTERVALS, only_with={"repeat": "candle"}),
    Field(
        "hysteresis",
        "Must come back by",
        Kind.NUMBER,
        0.0,
        low=0,
        high=50,
        step=0.1,
        optional=True,
        help="So far must it come back before it can fire again: percent of a price, else in the unit of "
        "the condition.",
    ),
    Field(
        "cooldown",
        "Rests for",
        Kind.DURATION,
        usual=("1m", "5m", "15m", "1h", "1d"),
        optional=True,
        help="After it has fired it does not fire again for so long.",
    ),
)
"""What matters only for a rule that fires more than once."""

QUIET = "quiet_hours"
MORE: tuple[Field, ...] = (
    Field(
        "holds_for",
        "Holds for",
        Kind.DURATION,
        usual=("10s", "1m", "5m", "15m", "1h"),
        optional=True,
        help="So long must it be met without a break before it fires.",
    ),
    Field(
        "confirmed_on",
        "On exchanges at once",
        Kind.COUNT,
        1,
        optional=True,
        help="On so many exchanges must it be met at the same time.",
    ),
    Field(
        "expires",
        "Ends",
        Kind.DURATION,
        usual=("1d", "7d", "30d", "90d"),
        optional=True,
        help="After a length of time such as 7d, or at a moment such as 2027-01-31T12:00Z.",
    ),
    Field(
        "template",
        "Message",
        Kind.TEXT,
        optional=True,
        help="In place of the plain sentence. It may name {symbol}, {exchange}, {price}, {value}, {time}, "
        "{note} and {condition}.",
    ),
)
"""What is seldom filled in."""

SNOOZES = {
    "Snooze 1 hour": 3_600,
    "Snooze 8 hours": 8 * 3_600,
    "Snooze 1 day": 86_400,
    "Snooze 1 week": 7 * 86_400,
}


def can_hold(condition: Mapping[str, Any]) -> bool:
    """Whether ``condition`` stays met for a while, so that it can be asked to hold."""
    crosses_either_way = (
        condition["type"] in ("crosses", "ma_cross") and condition.get("direction", "either") == "either"
    )
    return condition["type"] != "job_failed" and not crosses_either_way
