"""Weighted medians, and weights of which nobody has too much. Pure.

Weights are counted in parts of a million, whole numbers, so that sums are exact and whoever computes
again from stored weights gets the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

PARTS = 1_000_000
"""A weight of one."""


def shares(weights: Mapping[str, float], most: float) -> dict[str, float]:
    """Positive ``weights`` as parts of one, none above ``most``, or an even share where that is more.

    What one may not have goes to the others in proportion, which may bring the next one to the limit,
    until none is above it.
    """
    free = dict(weights)
    most = max(most, 1 / len(free)) if free else most
    capped: dict[str, float] = {}
    while free:
        left = 1 - most * len(capped)
        total = fsum(free.values())
        found = {name: weight / total * left for name, weight in free.items()}
        above = [name for name, share in found.items() if share > most]
        if not above:
            return capped | found
        for name in above:
            capped[name] = most
            del free[name]
    return capped


def in_parts(share: float) -> int:
    """A share of one in parts of a million, at least one of them."""
    return max(1, round(share * PARTS))


def quantile(values: Sequence[tuple[float, int]], numerator: int, denominator: int) -> float:
    """The value up to which ``numerator / denominator`` of the weight lies, of (value, weight) pairs.

    Midway to the next where the weight is parted exactly between two. Raises ValueError without values.
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
    """The value with half of the weight on either side, of (value, weight) pairs."""
    return quantile(values, 1, 2)
