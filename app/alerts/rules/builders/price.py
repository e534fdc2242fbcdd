"""Trees of the conditions on a price. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.threshold_index import Series
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import Above, Below, Crosses, Depeg


@builds(Above)
def _above(builder: ConditionTreeBuilder, condition: Above) -> Node:
    series = builder.prices(condition).price
    return Level(builder.price_threshold(series, condition.price, is_up=True))


@builds(Below)
def _below(builder: ConditionTreeBuilder, condition: Below) -> Node:
    series = builder.prices(condition).price
    return Level(builder.price_threshold(series, condition.price, is_up=False))


@builds(Crosses)
def _crosses(builder: ConditionTreeBuilder, condition: Crosses) -> Node:
    band = condition.price * builder.hysteresis / 100
    return builder.crossing(builder.prices(condition).price, condition.price, condition.way, band=band)


@builds(Depeg)
def _depeg(builder: ConditionTreeBuilder, condition: Depeg) -> Node:
    prices = builder.prices(condition)
    series = prices.off_peg.setdefault(condition.peg, Series(prices.key))
    if prices.last is not None:
        series.value = abs(prices.last / condition.peg - 1) * 100
    return Level(builder.threshold(series, condition.percent))
