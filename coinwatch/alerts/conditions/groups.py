"""Conditions made of other conditions."""

from __future__ import annotations

from coinwatch.alerts.conditions.base import Group
from coinwatch.alerts.conditions.registry import Declaration, declare


class All(Group, frozen=True, tag="all"):
    """All conditions of ``of`` are met by the same market."""

    def phrase(self) -> str:
        return " and ".join(part.phrase() for part in self.of)


class Any(Group, frozen=True, tag="any"):
    """At least one condition of ``of`` is met."""

    def phrase(self) -> str:
        return " or ".join(part.phrase() for part in self.of)


declare(
    Declaration(
        struct=All,
        title="All of several",
        example='{"type":"all","of":[{"type":"above","price":1.0},{"type":"silent","for":"1m"}]}',
    )
)
declare(
    Declaration(
        struct=Any,
        title="Any of several",
        example='{"type":"any","of":[{"type":"above","price":1.0},{"type":"gap"}]}',
    )
)
