"""How the rule engine evaluates conditions: a module for each family of ``coinwatch.alerts.conditions``.

Importing this package registers all builders.
"""

from app.alerts.rules.builders import groups, health, indicator, market, price, sentiment, window
from app.alerts.rules.tree_builder import ConditionTreeBuilder

__all__ = [
    "ConditionTreeBuilder",
    "groups",
    "health",
    "indicator",
    "market",
    "price",
    "sentiment",
    "window",
]
