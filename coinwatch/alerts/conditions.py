"""What a rule can wait for: the vocabulary of conditions. Values alone, all frozen.

A condition is true or not of a market at a moment. ``reading`` makes them of what people send, and says
what is wrong with it; the structs themselves take only what was checked there.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec

from coinwatch.intervals import Interval


class Source(StrEnum):
    """Which price is looked at."""

    TRADE = "trade"
    """Each trade."""
    AVERAGE = "average"
    """The average of the pair over its exchanges, once a second."""
    CANDLE = "candle"
    """The close of each closed candle."""


class Direction(StrEnum):
    """On which side of its level a condition is met; the level itself is met by both."""

    ABOVE = "above"
    BELOW = "below"


class Side(StrEnum):
    """As Direction, for a distance that may be on both sides."""

    ABOVE = "above"
    BELOW = "below"
    EITHER = "either"


class Way(StrEnum):
    """How a level is passed."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class Move(StrEnum):
    """How a price changes over a window."""

    RISE = "rise"
    FALL = "fall"
    EITHER = "either"


class MovingAverage(StrEnum):
    SIMPLE = "sma"
    EXPONENTIAL = "ema"


class _Condition(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    pass


class Priced(_Condition, frozen=True):
    """A condition on one kind of price."""

    source: Source = Source.TRADE
    interval: Interval | None = None
    """Of the candles, where the source is ``candle``."""


class Above(Priced, frozen=True, kw_only=True, tag="above"):
    """The price is at ``price`` or above it."""

    price: float

    def met_by(self, price: float) -> bool:
        return price >= self.price


class Below(Priced, frozen=True, kw_only=True, tag="below"):
    """The price is at ``price`` or below it."""

    price: float

    def met_by(self, price: float) -> bool:
        return price <= self.price


class Crosses(Priced, frozen=True, kw_only=True, tag="crosses"):
    """The price was on the other side of ``price`` and is now at it or beyond."""

    price: float
    way: Way = Way.EITHER


class Change(Priced, frozen=True, kw_only=True, tag="change"):
    """The price is ``percent`` above the lowest, or below the highest, of the window that ends with it."""

    percent: float
    within_s: int
    way: Move = Move.EITHER


class NewHigh(Priced, frozen=True, kw_only=True, tag="new_high"):
    """The price is above every other of the window that ends with it."""

    over_s: int


class NewLow(Priced, frozen=True, kw_only=True, tag="new_low"):
    """The price is below every other of the window that ends with it."""

    over_s: int


class FromAverage(_Condition, frozen=True, kw_only=True, tag="from_average"):
    """A market's last price is ``percent`` away from the average of its pair."""

    percent: float
    side: Side = Side.EITHER


class Spread(_Condition, frozen=True, kw_only=True, tag="spread"):
    """The last prices on two exchanges are ``percent`` of the lower apart."""

    exchanges: tuple[str, str]
    percent: float


class Volume(_Condition, frozen=True, kw_only=True, tag="volume"):
    """What was traded over a window is ``times`` what is traded over such a window usually."""

    over_s: int
    times: float
    usual_s: int
    """How far back usual is taken from, before that window."""


class AverageCross(_Condition, frozen=True, kw_only=True, tag="ma_cross"):
    """The moving average over ``fast`` candles has crossed that over ``slow``."""

    fast: int
    slow: int
    interval: Interval
    way: Way = Way.EITHER
    average: MovingAverage = MovingAverage.SIMPLE


class Rsi(_Condition, frozen=True, kw_only=True, tag="rsi"):
    """The relative strength index of closed candles (Wilder) is at ``level`` or beyond."""

    level: float
    side: Direction
    interval: Interval
    period: int = 14


class FearGreed(_Condition, frozen=True, kw_only=True, tag="fear_greed"):
    """The Fear & Greed index, 0 to 100, is at ``level`` or beyond."""

    level: float
    side: Direction


class Sentiment(_Condition, frozen=True, kw_only=True, tag="sentiment"):
    """The news sentiment of the base asset, -1 to 1, is at ``level`` or beyond."""

    level: float
    side: Direction


class Silent(_Condition, frozen=True, kw_only=True, tag="silent"):
    """Nothing was heard of the market for so long, by the database's clock."""

    for_s: int


class OpenGap(_Condition, frozen=True, kw_only=True, tag="gap"):
    """An interruption of the market's stream is not filled yet."""


class JobFailed(_Condition, frozen=True, kw_only=True, tag="job_failed"):
    """A job of the pipelines has failed for good. Met for the moment of each failure."""

    job: str | None = None
    """Its name; None: any."""


class Depeg(Priced, frozen=True, kw_only=True, tag="depeg"):
    """The price is ``percent`` off its peg, on either side."""

    percent: float
    peg: float = 1.0


class All(_Condition, frozen=True, kw_only=True, tag="all"):
    """Every one of these is met, of the same market."""

    of: tuple[Condition, ...]


class Any(_Condition, frozen=True, kw_only=True, tag="any"):
    """At least one of these is met."""

    of: tuple[Condition, ...]


Threshold: TypeAlias = (
    Above
    | Below
    | Crosses
    | Change
    | NewHigh
    | NewLow
    | FromAverage
    | Spread
    | Volume
    | AverageCross
    | Rsi
    | FearGreed
    | Sentiment
    | Silent
    | OpenGap
    | JobFailed
    | Depeg
)
Condition: TypeAlias = Threshold | All | Any

LEAVES: tuple[type[Threshold], ...] = (
    Above,
    Below,
    Crosses,
    Change,
    NewHigh,
    NewLow,
    FromAverage,
    Spread,
    Volume,
    AverageCross,
    Rsi,
    FearGreed,
    Sentiment,
    Silent,
    OpenGap,
    JobFailed,
    Depeg,
)
GROUPS: tuple[type[All | Any], ...] = (All, Any)


def price_condition(side: Direction, price: float) -> Above | Below:
    """A trade at ``price`` or beyond it."""
    return Above(price=price) if side is Direction.ABOVE else Below(price=price)


def leaves(condition: Condition) -> Iterator[Threshold]:
    """The conditions without parts that ``condition`` is made of."""
    if isinstance(condition, All | Any):
        for part in condition.of:
            yield from leaves(part)
    else:
        yield condition


def is_on_no_market(condition: Condition) -> bool:
    """Whether it asks nothing of any market or pair."""
    return all(isinstance(leaf, JobFailed | FearGreed) for leaf in leaves(condition))


def is_of_health(condition: Condition) -> bool:
    """Whether it is about markets that are not heard of."""
    return any(isinstance(leaf, Silent | OpenGap) for leaf in leaves(condition))


def is_of_markets(condition: Condition) -> bool:
    """Whether it is asked of each market apart; else of a pair, its base or of nothing as a whole."""
    return any(_is_of_markets(leaf) for leaf in leaves(condition))


def _is_of_markets(leaf: Threshold) -> bool:
    match leaf:
        case Priced(source=Source.AVERAGE):
            return False
        case Spread() | FearGreed() | Sentiment() | JobFailed():
            return False
        case _:
            return True


def is_momentary(condition: Condition) -> bool:
    """Whether it may be met for a moment only."""
    return any(
        isinstance(leaf, JobFailed) or (isinstance(leaf, Crosses | AverageCross) and leaf.way is Way.EITHER)
        for leaf in leaves(condition)
    )
