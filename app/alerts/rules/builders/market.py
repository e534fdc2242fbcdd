"""Trees of the conditions that compare exchanges. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import FromAverage, Side, Spread


@builds(FromAverage)
def _from_average(builder: ConditionTreeBuilder, condition: FromAverage) -> Node:
    series = builder.market.from_average
    legs = []
    if condition.side is not Side.BELOW:
        legs.append(builder.threshold(series, condition.percent))
    if condition.side is not Side.ABOVE:
        legs.append(builder.threshold(series, -condition.percent, is_up=False))
    return Level(*legs)


@builds(Spread)
def _spread(builder: ConditionTreeBuilder, condition: Spread) -> Node:
    return Level(builder.threshold(builder.pair.spread(condition.exchanges), condition.percent))
