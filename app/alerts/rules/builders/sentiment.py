"""Trees of the conditions on sentiment. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.market_state import FearGreedNow, SentimentOf
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import FearGreed, Sentiment


@builds(FearGreed)
def _fear_greed(builder: ConditionTreeBuilder, condition: FearGreed) -> Node:
    return Level(builder.reading_threshold(FearGreedNow(), condition.level, condition.side))


@builds(Sentiment)
def _sentiment(builder: ConditionTreeBuilder, condition: Sentiment) -> Node:
    score = SentimentOf(builder.pair.symbol.base)
    return Level(builder.reading_threshold(score, condition.level, condition.side))
