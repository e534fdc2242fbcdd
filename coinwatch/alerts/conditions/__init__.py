"""What a rule can wait for. A module for each family; ``registry`` has what is declared of each condition."""

from coinwatch.alerts.conditions.base import (
    Condition,
    Direction,
    Group,
    Move,
    MovingAverage,
    Priced,
    Side,
    Source,
    Way,
)
from coinwatch.alerts.conditions.queries import (
    compared_exchanges,
    is_known_at_once,
    is_market_health,
    is_met_by_trades,
    is_momentary,
    is_per_market,
    is_polled,
    leaves,
    needs_average,
    needs_events,
    needs_no_market,
    needs_one_market_only,
    source_of,
)
from coinwatch.alerts.conditions.registry import (
    DECLARATIONS,
    Declaration,
    Input,
    Scope,
    declaration,
    singles,
)

# The order of these imports is that of pages and forms.
# isort: off
from coinwatch.alerts.conditions.price import Above, Below, Crosses, Depeg, Every, price_condition
from coinwatch.alerts.conditions.window import Change, NewHigh, NewLow, Volume
from coinwatch.alerts.conditions.market import FromAverage, Spread
from coinwatch.alerts.conditions.indicator import AverageCross, Rsi
from coinwatch.alerts.conditions.sentiment import FearGreed, Sentiment
from coinwatch.alerts.conditions.health import JobFailed, OpenGap, Silent
from coinwatch.alerts.conditions.groups import All, Any
# isort: on

__all__ = [
    "DECLARATIONS",
    "Above",
    "All",
    "Any",
    "AverageCross",
    "Below",
    "Change",
    "Condition",
    "Crosses",
    "Declaration",
    "Depeg",
    "Direction",
    "Every",
    "FearGreed",
    "FromAverage",
    "Group",
    "Input",
    "JobFailed",
    "Move",
    "MovingAverage",
    "NewHigh",
    "NewLow",
    "OpenGap",
    "Priced",
    "Rsi",
    "Scope",
    "Sentiment",
    "Side",
    "Silent",
    "Source",
    "Spread",
    "Volume",
    "Way",
    "compared_exchanges",
    "declaration",
    "is_known_at_once",
    "is_market_health",
    "is_met_by_trades",
    "is_momentary",
    "is_per_market",
    "is_polled",
    "leaves",
    "needs_average",
    "needs_events",
    "needs_no_market",
    "needs_one_market_only",
    "price_condition",
    "singles",
    "source_of",
]
