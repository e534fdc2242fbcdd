"""One market's UTC day, minute by minute. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from html import escape
from itertools import groupby

from coinwatch import formats
from coinwatch.times import MINUTE_US
from coinwatch.windows import Window
from warehouse.candles.coverage_reads import DayMinutes

HOUR = 60


class Minute(StrEnum):
    """What is known of a minute."""

    TRADED = "traded"
    QUIET = "quiet"
    UNVERIFIED = "unverified"
    UNAVAILABLE = "unavailable"
    MISSING = "missing"
    NONE = "none"


WORDS = {
    Minute.TRADED: "with trades",
    Minute.QUIET: "nothing traded",
    Minute.UNVERIFIED: "stored, not verified yet",
    Minute.UNAVAILABLE: "not served any more",
    Minute.MISSING: "missing",
    Minute.NONE: "not asked for, or to come",
}


@dataclass(frozen=True)
class Run:
    """Minutes of one hour that are alike."""

    kind: Minute
    first: int
    """Of the hour, 0 to 59."""
    count: int


def kinds(day: Window, found: DayMinutes) -> list[Minute]:
    """What is known of each minute of ``day``, in order."""
    known = [Minute.NONE] * (day.length_us // MINUTE_US)
    names = {"covered": Minute.QUIET, "unavailable": Minute.UNAVAILABLE, "missing": Minute.MISSING}
    for kind, span in found.spans:
        first = max(0, -(-(span.start_us - day.start_us) // MINUTE_US))
        last = min(len(known), (span.end_us - day.start_us) // MINUTE_US)
        known[first:last] = [names[kind]] * max(0, last - first)
    for opened_us in found.opened_us:
        place = (opened_us - day.start_us) // MINUTE_US
        if 0 <= place < len(known):
            is_verified = known[place] is Minute.QUIET
            known[place] = Minute.TRADED if is_verified else Minute.UNVERIFIED
    return known


def counts(known: Sequence[Minute]) -> dict[Minute, int]:
    """How many minutes there are of each kind that occurs."""
    return {kind: count for kind in Minute if (count := known.count(kind))}


def runs(hour: Sequence[Minute]) -> list[Run]:
    """Neighbours that are alike, together."""
    found, first = [], 0
    for kind, several in groupby(hour):
        count = len(list(several))
        found.append(Run(kind, first, count))
        first += count
    return found


def day_map(day: Window, known: Sequence[Minute], zone: tzinfo) -> str:
    """The day as a line for each hour, UTC; the viewer's own time when pointed at."""
    lines = []
    for number in range(0, len(known), HOUR):
        hour = known[number : number + HOUR]
        start_us = day.start_us + number * MINUTE_US
        name = f"{number // HOUR:02d}:00"
        told = ", ".join(f"{count} min {WORDS[kind]}" for kind, count in counts(hour).items())
        bits = "".join(
            f'<i class="{run.kind}" style="width:{run.count / HOUR * 100:.3f}%" '
            f'title="{escape(_span(number + run.first, run.count))} UTC: {WORDS[run.kind]}"></i>'
            for run in runs(hour)
        )
        local = escape(formats.local(start_us, zone, seconds=False))
        lines.append(
            f'<span class="hour" title="{local}">{name}</span>'
            f'<span class="track" role="img" aria-label="{name} UTC: {escape(told)}">{bits}</span>'
        )
    return f'<div class="cw-day">{"".join(lines)}</div>'


def legend(known: Sequence[Minute]) -> str:
    """The kinds of minutes that occur, with how many there are."""
    told = "".join(
        f'<span><i class="{kind}"></i>{WORDS[kind]}: {count:,} min</span>'
        for kind, count in counts(known).items()
    )
    return f'<p class="cw-notes cw-legend">{told}</p>'


def _span(first: int, count: int) -> str:
    last = first + count
    return f"{first // HOUR:02d}:{first % HOUR:02d} to {last // HOUR:02d}:{last % HOUR:02d}"
