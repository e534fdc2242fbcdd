"""Which way a price moved. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trend(StrEnum):
    UP = "up"
    DOWN = "down"
    FLAT = "flat"


@dataclass(frozen=True)
class Seen:
    """The price that a viewer saw last, and the trend shown beside it."""

    price: float
    trend: Trend


def since(seen: Seen | None, price: float) -> tuple[Trend, bool]:
    """The trend of ``price`` since it last changed for this viewer, and whether it changed just now."""
    if seen is None:
        return Trend.FLAT, False
    if price == seen.price:
        return seen.trend, False
    return (Trend.UP if price > seen.price else Trend.DOWN), True


def of_change(share: float) -> Trend:
    """The trend of a change given as a share (0.0123 is 1.23 %); flat where it is shown as 0.00 %."""
    rounded = round(share, 4)
    return Trend.UP if rounded > 0 else Trend.DOWN if rounded < 0 else Trend.FLAT
