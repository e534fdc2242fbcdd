"""Trees of the conditions made of others. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Combination, Node
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import All, Any


@builds(All)
def _all(builder: ConditionTreeBuilder, condition: All) -> Node:
    return Combination([builder.build(part) for part in condition.of], needs_all=True)


@builds(Any)
def _any(builder: ConditionTreeBuilder, condition: Any) -> Node:
    return Combination([builder.build(part) for part in condition.of], needs_all=False)
