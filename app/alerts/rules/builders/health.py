"""Trees of the conditions on operations. Pure: no I/O."""

from __future__ import annotations

from app.alerts.rules.condition_tree import Level, Node
from app.alerts.rules.market_state import FailureOf, GapOf, SilenceOf
from app.alerts.rules.tree_builder import ConditionTreeBuilder, builds
from coinwatch.alerts import JobFailed, OpenGap, Silent


@builds(Silent)
def _silent(builder: ConditionTreeBuilder, condition: Silent) -> Node:
    return Level(builder.reading_threshold(SilenceOf(builder.market.market_id), condition.for_s))


@builds(OpenGap)
def _open_gap(builder: ConditionTreeBuilder, condition: OpenGap) -> Node:
    return Level(builder.reading_threshold(GapOf(builder.market.market_id), 1))


@builds(JobFailed)
def _job_failed(builder: ConditionTreeBuilder, condition: JobFailed) -> Node:
    return Level(builder.reading_threshold(FailureOf(condition.job), 1))
