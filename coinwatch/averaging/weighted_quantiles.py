"""Weighted quantiles, and weights with an upper limit. Pure: no I/O.

Weights are whole parts of a million: sums are exact, and computing again from stored weights gives the
same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

PARTS = 1_000_000
"""A weight of one."""


def shares(weights: Mapping[str, float], most: float) -> dict[str, float]:
    """Scale positive ``weights`` to a sum of 1 with none above ``most``, or an even share if that is more.

    The excess of a capped weight is spread over the others in proportion, repeatedly, until none exceeds
    the limit.
    """
    free = dict(weights)
    most = max(most, 1 / len(free)) if free else most
    capped: dict[str, float] = {}
    while free:
        left = 1 - most * len(capped)
        total = fsum(free.values())
        scaled = {name: weight / total * left for name, weight in free.items()}
        above = [name for name, share in scaled.items() if share > most]
        if not above:
            return capped | scaled
        for name in above:
            capped[name] = most
            del free[name]
    return capped


def in_parts(share: float) -> int:
    """A share from 0 to 1 as parts of a million, at least one part."""
    return max(1, round(share * PARTS))


def quantile(values: Sequence[tuple[float, int]], numerator: int, denominator: int) -> float:
    """The ``numerator / denominator`` quantile of (value, weight) pairs.

    Where the weight is split exactly between two values, their midpoint. Raises ValueError when there are
    no values.
    """
    ordered = sorted(values)
    wanted = sum(weight for _, weight in ordered) * numerator
    reached = 0
    for place, (value, weight) in enumerate(ordered):
        reached += weight
        if reached * denominator == wanted and place + 1 < len(ordered):
            return value + (ordered[place + 1][0] - value) / 2
        if reached * denominator >= wanted:
            return value
    raise ValueError("no quantile without values")


def median(values: Sequence[tuple[float, int]]) -> float:
    """The weighted median of (value, weight) pairs."""
    return quantile(values, 1, 2)
