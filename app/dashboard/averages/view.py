"""What the Averages page shows, built from stored averages. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from app.dashboard.ui.indicators import Indicator, Line
from coinwatch.averaging.average import Input
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, from_datetime
from warehouse.averages.store import PairAverage

RANGES = {
    "5m": 5 * MINUTE_US,
    "1h": 60 * MINUTE_US,
    "6h": 360 * MINUTE_US,
    "1d": DAY_US,
    "1w": 7 * DAY_US,
    "1mo": 30 * DAY_US,
}
"""Lengths a viewer can choose, in microseconds."""

POINTS = 300
"""Samples in a chart, about."""

BEGINS_LATE = 0.05
"""A chart that is empty for a smaller share of its range keeps its whole length."""

FEWEST_STEPS = 30

BASIS_POINTS = 10_000


@dataclass(frozen=True)
class ExchangeLine:
    """The prices of one exchange, a value for each sample; None where unknown."""

    name: str
    prices: tuple[float | None, ...]
    deviations: tuple[float | None, ...]
    """From the average, in basis points."""
    used: tuple[bool, ...]

    @property
    def used_share(self) -> float:
        """The share of the samples with a price of the exchange in which it was used."""
        known = [used for used, price in zip(self.used, self.prices, strict=True) if price is not None]
        return sum(known) / len(known) if known else 0.0

    @property
    def usual_deviation(self) -> float | None:
        """The mean distance from the average while used, in basis points."""
        apart = [
            abs(value)
            for value, used in zip(self.deviations, self.used, strict=True)
            if used and value is not None
        ]
        return fmean(apart) if apart else None


@dataclass(frozen=True)
class AveragesView:
    """Samples on an unbroken time grid; a step without an average holds None."""

    step_us: int
    times_us: tuple[int, ...]
    prices: tuple[float | None, ...]
    confidences: tuple[float | None, ...]
    exchanges: tuple[ExchangeLine, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    begins_us: int | None = None
    """When the first stored average was computed, if inside the range; the chart then begins there."""

    @property
    def is_empty(self) -> bool:
        return all(price is None for price in self.prices)


@dataclass(frozen=True)
class Part:
    """One exchange of an average at one moment."""

    name: str
    price: float
    deviation: float
    """From the average, in basis points."""
    weight: float
    age_s: float
    traded: str
    """When its last trade was, in ISO 8601, UTC."""
    traded_us: int | None
    """The same in microseconds; None where that text is malformed."""
    used: bool
    why: str
    rate: float | None
    usual_deviation: float | None
    used_share: float | None


def step_us(range_us: int) -> int:
    """The length of a step for about ``POINTS`` of them, in whole seconds."""
    return max(SECOND_US, range_us // POINTS // SECOND_US * SECOND_US)


def build(
    samples: Sequence[PairAverage],
    *,
    start_us: int,
    end_us: int,
    step_us: int,
    moving: Sequence[Indicator] = (),
) -> AveragesView:
    """``samples`` on the steps from ``start_us``; earlier ones only warm up the moving averages.

    Where there is none until well inside the range, the chart begins there.
    """
    count = -(-(end_us - start_us) // step_us)
    places: list[PairAverage | None] = [None] * count
    for sample in samples:
        place = (sample.ts_us - start_us) // step_us
        if 0 <= place < count:
            places[place] = sample
    first = next((place for place, sample in enumerate(places) if sample is not None), 0)
    begins_us = None
    if first > BEGINS_LATE * count and samples[0].ts_us >= start_us:
        begins_us = samples[0].ts_us
        skipped = max(0, min(first, count - FEWEST_STEPS))
        places, start_us = places[skipped:], start_us + skipped * step_us
    names = sorted({name for pair in places if pair is not None for name in pair.average.inputs})
    lines = []
    notes = []
    for indicator in moving:
        values = _moving(samples, indicator)
        lines.append(
            Line(str(indicator), tuple(None if pair is None else values.get(pair.ts_us) for pair in places))
        )
        if samples and not values:
            notes.append(f"{indicator} needs {indicator.needs} points; {len(samples)} are stored.")
    return AveragesView(
        step_us=step_us,
        times_us=tuple(
            start_us + i * step_us if pair is None else pair.ts_us for i, pair in enumerate(places)
        ),
        prices=tuple(None if pair is None else pair.average.price for pair in places),
        confidences=tuple(None if pair is None else pair.average.confidence for pair in places),
        exchanges=tuple(_exchange(name, places) for name in names),
        lines=tuple(lines),
        notes=tuple(notes),
        begins_us=begins_us,
    )


def parts(pair: PairAverage, view: AveragesView | None = None) -> tuple[Part, ...]:
    """The constituents of the average, then the excluded exchanges; the heaviest first."""
    lines = {line.name: line for line in view.exchanges} if view is not None else {}
    parts = [_part(name, given, pair, lines) for name, given in pair.average.inputs.items()]
    return tuple(sorted(parts, key=lambda part: (not part.used, -part.weight, part.name)))


def volume_shares(volumes: Mapping[str, float]) -> tuple[tuple[str, float, float], ...]:
    """Exchange, volume and its share of all, the largest first."""
    whole = sum(volumes.values())
    ordered = sorted(volumes.items(), key=lambda item: (-item[1], item[0]))
    return tuple((name, volume, volume / whole) for name, volume in ordered if whole > 0)


def _part(name: str, given: Input, pair: PairAverage, lines: Mapping[str, ExchangeLine]) -> Part:
    line = lines.get(name)
    return Part(
        name=name,
        price=given.price,
        deviation=_apart(given.price, pair.average.price),
        weight=given.weight,
        age_s=given.age_s,
        traded=given.ts,
        traded_us=_microseconds(given.ts),
        used=given.used,
        why=given.why or "",
        rate=given.rate,
        usual_deviation=line.usual_deviation if line else None,
        used_share=line.used_share if line else None,
    )


def _exchange(name: str, places: Sequence[PairAverage | None]) -> ExchangeLine:
    prices: list[float | None] = []
    deviations: list[float | None] = []
    used = []
    for pair in places:
        given = pair.average.inputs.get(name) if pair is not None else None
        if pair is None or given is None:
            prices.append(None)
            deviations.append(None)
            used.append(False)
        else:
            prices.append(given.price)
            deviations.append(_apart(given.price, pair.average.price))
            used.append(given.used)
    return ExchangeLine(name, tuple(prices), tuple(deviations), tuple(used))


def _apart(price: float, average: float) -> float:
    return (price / average - 1) * BASIS_POINTS


def _moving(samples: Sequence[PairAverage], indicator: Indicator) -> dict[int, float]:
    line = indicator.moving([pair.average.price for pair in samples])
    return {pair.ts_us: value for pair, value in zip(samples, line, strict=True) if value is not None}


def _microseconds(iso: str) -> int | None:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
