"""Trees of the conditions on indicators of closed candles. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.market_state import AveragesOf, RsiOf
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import AverageCross, Rsi


@builds(AverageCross)
def _average_cross(builder: ConditionTreeBuilder, condition: AverageCross) -> Node:
    averages = AveragesOf(
        builder.market.market_id, condition.interval, condition.fast, condition.slow, condition.average
    )
    return builder.crossing(
        builder.market_state.reading(averages), 0.0, condition.way, band=builder.hysteresis
    )


@builds(Rsi)
def _rsi(builder: ConditionTreeBuilder, condition: Rsi) -> Node:
    rsi = RsiOf(builder.market.market_id, condition.interval, condition.period)
    return Level(builder.reading_threshold(rsi, condition.level, condition.side))
