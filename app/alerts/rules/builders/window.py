"""Trees of the conditions on a rolling window. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import Change, Move, NewHigh, NewLow, Volume


@builds(Change)
def _change(builder: ConditionTreeBuilder, condition: Change) -> Node:
    span = builder.prices(condition).span(condition.within_s)
    legs = []
    if condition.way is not Move.FALL:
        legs.append(builder.threshold(span.rise, condition.percent))
    if condition.way is not Move.RISE:
        legs.append(builder.threshold(span.fall, condition.percent))
    return Level(*legs)


@builds(NewHigh)
def _new_high(builder: ConditionTreeBuilder, condition: NewHigh) -> Node:
    span = builder.prices(condition).span(condition.over_s)
    return Level(builder.threshold(span.from_high, 0.0, is_strict=True))


@builds(NewLow)
def _new_low(builder: ConditionTreeBuilder, condition: NewLow) -> Node:
    span = builder.prices(condition).span(condition.over_s)
    return Level(builder.threshold(span.from_low, 0.0, is_strict=True))


@builds(Volume)
def _volume(builder: ConditionTreeBuilder, condition: Volume) -> Node:
    turnover = builder.market.turnover(condition.over_s, condition.usual_s)
    return Level(builder.threshold(turnover.ratio, condition.times))
