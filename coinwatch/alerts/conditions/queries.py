"""Questions about a condition that its declaration answers. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from coinwatch.alerts.conditions.base import Condition, Group, Priced, Source
from coinwatch.alerts.conditions.fields import Kind
from coinwatch.alerts.conditions.registry import Input, Scope, declaration


def leaves(condition: Condition) -> Iterator[Condition]:
    """The single conditions that ``condition`` is made of."""
    if isinstance(condition, Group):
        for part in condition.of:
            yield from leaves(part)
    else:
        yield condition


def source_of(condition: Condition) -> Source | None:
    """The price it is evaluated on; None if that cannot be chosen."""
    return condition.source if isinstance(condition, Priced) else None


def needs_no_market(condition: Condition) -> bool:
    """Whether it concerns neither a market nor a pair."""
    return all(declaration(leaf).scope is Scope.NOTHING for leaf in leaves(condition))


def is_per_market(condition: Condition) -> bool:
    """Whether it is evaluated for each market on its own, rather than for the pair as a whole."""
    return any(
        declaration(leaf).scope is Scope.MARKET and source_of(leaf) is not Source.AVERAGE
        for leaf in leaves(condition)
    )


def is_market_health(condition: Condition) -> bool:
    """Whether it concerns the health of a market's stream."""
    return any(
        declaration(leaf).scope is Scope.MARKET and declaration(leaf).is_polled for leaf in leaves(condition)
    )


def is_momentary(condition: Condition) -> bool:
    """Whether it can be met for a moment only."""
    return any(_is_momentary(leaf) for leaf in leaves(condition))


def is_polled(condition: Condition) -> bool:
    """Whether no price has to come for it to be met: it is read once a second."""
    return any(declaration(leaf).is_polled for leaf in leaves(condition))


def needs_average(condition: Condition) -> bool:
    """Whether it is evaluated on the price average of its pair."""
    return any(
        declaration(leaf).input is Input.AVERAGE or source_of(leaf) is Source.AVERAGE
        for leaf in leaves(condition)
    )


def needs_events(condition: Condition) -> bool:
    """Whether it is evaluated on events of the pipelines."""
    return any(declaration(leaf).input is Input.EVENTS for leaf in leaves(condition))


def is_met_by_trades(condition: Condition) -> bool:
    """Whether a trade can meet it: not if all of it is about averages or closed candles."""
    return any(
        source_of(leaf) in (None, Source.TRADE) and declaration(leaf).input is not Input.CANDLES
        for leaf in leaves(condition)
    )


def needs_one_market_only(condition: Condition) -> bool:
    """Whether the trades of one market alone decide if it is met."""
    return all(
        source_of(leaf) is Source.TRADE
        or (declaration(leaf).input is Input.TRADES and declaration(leaf).scope is Scope.MARKET)
        for leaf in leaves(condition)
    )


def is_known_at_once(condition: Condition) -> bool:
    """Whether the last prices and numbers alone show if it is met, without what came before them."""
    return all(
        declaration(leaf).is_known_at_once and source_of(leaf) is not Source.AVERAGE
        for leaf in leaves(condition)
    )


def compared_exchanges(condition: Condition) -> frozenset[str]:
    """The exchanges that it names itself, whatever the rule's own exchange."""
    return frozenset(
        name
        for leaf in leaves(condition)
        for field in declaration(leaf).fields
        if field.kind is Kind.EXCHANGES
        for name in getattr(leaf, field.attribute)
    )


def _is_momentary(leaf: Condition) -> bool:
    declared = declaration(leaf)
    if declared.momentary_with is None:
        return False
    return declared.is_momentary({field.name: getattr(leaf, field.attribute) for field in declared.fields})
