"""One market's UTC day, minute by minute. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from coinwatch.times import MINUTE_US
from coinwatch.windows import Window
from warehouse.candles.coverage_reads import DayMinutes

HOUR = 60


class Minute(StrEnum):
    """What is known about a minute."""

    TRADED = "traded"
    QUIET = "quiet"
    UNVERIFIED = "unverified"
    UNAVAILABLE = "unavailable"
    MISSING = "missing"
    NONE = "none"


LABELS = {
    Minute.TRADED: "with trades",
    Minute.QUIET: "without trades",
    Minute.UNVERIFIED: "stored, not verified yet",
    Minute.UNAVAILABLE: "unavailable: the exchange no longer serves it",
    Minute.MISSING: "missing",
    Minute.NONE: "not requested, or in the future",
}


@dataclass(frozen=True)
class Span:
    """Neighbouring minutes of the same kind within an hour."""

    kind: Minute
    first: int
    """Minute of the hour, 0 to 59."""
    count: int


def kinds(day: Window, minutes: DayMinutes) -> list[Minute]:
    """The kind of each minute of ``day``, in order."""
    known = [Minute.NONE] * (day.length_us // MINUTE_US)
    names = {"covered": Minute.QUIET, "unavailable": Minute.UNAVAILABLE, "missing": Minute.MISSING}
    for kind, span in minutes.spans:
        first = max(0, -(-(span.start_us - day.start_us) // MINUTE_US))
        last = min(len(known), (span.end_us - day.start_us) // MINUTE_US)
        known[first:last] = [names[kind]] * max(0, last - first)
    for opened_us in minutes.opened_us:
        place = (opened_us - day.start_us) // MINUTE_US
        if 0 <= place < len(known):
            is_verified = known[place] is Minute.QUIET
            known[place] = Minute.TRADED if is_verified else Minute.UNVERIFIED
    return known


def counts(minutes: Sequence[Minute]) -> dict[Minute, int]:
    """The number of minutes of each kind that occurs."""
    return {kind: count for kind in Minute if (count := minutes.count(kind))}


def spans(hour: Sequence[Minute]) -> list[Span]:
    """The minutes of an hour, with neighbours of the same kind joined."""
    joined, first = [], 0
    for kind, neighbours in groupby(hour):
        count = len(list(neighbours))
        joined.append(Span(kind, first, count))
        first += count
    return joined
