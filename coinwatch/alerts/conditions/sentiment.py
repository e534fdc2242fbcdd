"""Conditions on sentiment: of the whole market, of the news about an asset."""

from __future__ import annotations

from typing import Annotated

from coinwatch.alerts.conditions import fields
from coinwatch.alerts.conditions.base import Condition, Direction
from coinwatch.alerts.conditions.indicator import SIDES
from coinwatch.alerts.conditions.options import Option
from coinwatch.alerts.conditions.registry import Declaration, Input, Scope, declare


class FearGreed(Condition, frozen=True, kw_only=True, tag="fear_greed"):
    """The Fear & Greed index, 0 to 100, is at ``level`` or beyond it."""

    level: Annotated[float, fields.level("Index", 0, 100, start=75.0)]
    side: Annotated[Direction, fields.choice(Direction, "Side", SIDES, start="above")]

    def phrase(self) -> str:
        return f"the Fear & Greed index at or {self.side} {self.level:g}"


class Sentiment(Condition, frozen=True, kw_only=True, tag="sentiment"):
    """The news sentiment of the base asset, -1 to 1, is at ``level`` or beyond it."""

    level: Annotated[float, fields.level("Score", -1, 1, start=0.5, step=0.1)]
    side: Annotated[Direction, fields.choice(Direction, "Side", SIDES, start="above")]

    def phrase(self) -> str:
        return f"its sentiment at or {self.side} {self.level:g}"


def _option(name: str, side: str, hint: str) -> Option:
    return Option(name, hint, "level", fixed={"direction": side})


declare(
    Declaration(
        struct=FearGreed,
        title="Fear & Greed index",
        hint="Of the whole market: 0 is extreme fear, 100 extreme greed.",
        example='{"type":"fear_greed","level":20,"direction":"below"}',
        scope=Scope.NOTHING,
        input=Input.POLLED,
        measures="index",
        is_known_at_once=True,
        options=(
            _option("greed_above", "above", "Alert when the Fear & Greed index is at this level or above."),
            _option("fear_below", "below", "Alert when the Fear & Greed index is at this level or below."),
        ),
    )
)
declare(
    Declaration(
        struct=Sentiment,
        title="News sentiment",
        hint="Of the base asset, from −1 to 1.",  # noqa: RUF001  # a minus sign
        example='{"type":"sentiment","level":-0.3,"direction":"below"}',
        scope=Scope.PAIR,
        input=Input.POLLED,
        measures="score",
        is_known_at_once=True,
        options=(
            _option(
                "sentiment_above",
                "above",
                "Alert when the news sentiment of the base asset, -1 to 1, is at this score or above.",
            ),
            _option(
                "sentiment_below",
                "below",
                "Alert when the news sentiment of the base asset is at this score or below.",
            ),
        ),
    )
)
