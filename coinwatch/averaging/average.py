"""The price of a pair from the last live trades of several exchanges. Pure: no I/O.

1. A last trade older than its market's age limit is ignored; from half of that age on its weight fades.
2. A market more than 20 % from the others is excluded, and readmitted below half of that. If no two
   markets agree there is no price.
3. Of the rest, a market further from the median than a bound is excluded as an outlier, and readmitted
   within half of the bound. The bound is 5 median absolute deviations (MAD), but at least 0.5 % of the
   median, or 3 % for thinly traded pairs: those on fewer than 3 exchanges, or with a mean interval of
   10 s or more between trades on half of them, whose last trades are of different times.
4. The price is the median weighted by each exchange's volume and freshness, with at most 40 % of the
   weight for one exchange.

Deviations are symmetric: the greater price over the smaller, less one. Volumes are in the quote asset,
so they are comparable even where a ticker names another coin elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from coinwatch.averaging.weighted_quantiles import PARTS, in_parts, median, quantile, shares
from coinwatch.times import SECOND_US, to_datetime

MIN_EXCHANGES = 3
"""An average of fewer exchanges is degraded."""
MAX_WEIGHT = 0.4
"""The largest share of one exchange; with fewer than three exchanges, an even share."""
AGE_LIMIT_INTERVALS = 5
MIN_AGE_LIMIT_US, MAX_AGE_LIMIT_US = 10 * SECOND_US, 180 * SECOND_US
"""A last trade counts for this many mean intervals between trades of its market, within these bounds."""
OUTLIER_MADS = 5.0
OUTLIER, THIN_OUTLIER = 0.005, 0.03
THIN_INTERVAL_US = 10 * SECOND_US
MIN_VOLUME = 1e-9
"""A volume of no more than this is treated as unknown."""
MAX_DEVIATION = 0.20
"""Two prices further apart than this do not agree; 0.2 is 20 %."""


class Method(StrEnum):
    """How prices are combined. Constituents and weights are the same for all methods."""

    MEDIAN = "median"
    MEAN = "mean"
    VWAP = "vwap"


class State(StrEnum):
    """Whether an average has enough exchanges behind it."""

    OK = "ok"
    DEGRADED = "degraded"
    """Fewer than three exchanges."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """The last trade of one market, with what is needed to weigh it."""

    name: str
    """The exchange; ``exchange:QUOTE`` where the price was converted from another quote asset."""
    price: float
    """In the quote asset of the average."""
    ts_us: int
    """The trade's time, by the exchange's clock."""
    age_us: int
    """Time since the trade arrived, by our clock."""
    mean_interval_us: int | None
    """Mean time between trades; None when unknown, which implies the shortest age limit."""
    volume: float
    """Of the last 24 hours, in the quote asset; 0 when unknown, which counts as the least of the others."""
    was_excluded: bool = False
    """Whether the previous average excluded it as an outlier."""
    is_trusted: bool = True
    """False after it deviated by more than 20 %, until it is close to the others again."""
    rate: float | None = None
    """The rate ``price`` was converted by, None when it was not converted."""

    @property
    def exchange(self) -> str:
        """The exchange's name."""
        return self.name.partition(":")[0]

    @property
    def age_limit_us(self) -> int:
        """The age from which the trade is ignored."""
        limit_us = AGE_LIMIT_INTERVALS * (self.mean_interval_us or 0)
        return min(max(limit_us, MIN_AGE_LIMIT_US), MAX_AGE_LIMIT_US)


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One market of an average, as stored in ``price_averages.inputs``."""

    price: float
    ts: str
    """ISO 8601, UTC."""
    age_s: float
    weight: float
    """Its share from 0 to 1; 0 when it was not used."""
    used: bool
    why: str | None
    """Why it was not used."""
    rate: float | None = None


class Average(msgspec.Struct, frozen=True):
    """An average price, its confidence and its inputs."""

    price: float
    confidence: float
    """The distance from the price to the further of the weighted quartiles."""
    method: Method
    state: State
    exchanges: tuple[str, ...]
    """The exchanges used, by name."""
    inputs: dict[str, Input]
    """All candidates by name, used or not."""


class Judgement(msgspec.Struct, frozen=True):
    """An average, and the state that the next one depends on."""

    average: Average | None
    """None when no market is fresh and trusted, or no two agree."""
    excluded: frozenset[str]
    """Names excluded as outliers."""
    deviations: dict[str, float]
    """How far each fresh market is from the others, for markets with others to compare with."""
    trusted: frozenset[str]
    """The fresh markets within ``MAX_DEVIATION`` of the others."""


def average(candidates: Iterable[Candidate], method: Method = Method.MEDIAN) -> Judgement:
    """Compute the average of ``candidates``, whose names must differ; their order is irrelevant."""
    known = sorted(candidates, key=lambda candidate: candidate.name)
    fresh = [candidate for candidate in known if candidate.age_us < candidate.age_limit_us]
    group = _largest_group(fresh)
    deviations = _deviations(fresh, group)
    trusted = [candidate for candidate in fresh if _is_trusted(candidate, deviations.get(candidate.name))]
    in_group = {candidate.name for candidate in group}
    voters = [candidate for candidate in trusted if candidate.name in in_group]
    excluded = _outliers(voters)
    used = [candidate for candidate in voters if candidate.name not in excluded]
    weights = _weights(used)
    names = frozenset(candidate.name for candidate in trusted)
    if not used:
        return Judgement(None, frozenset(excluded), deviations, names)
    inputs = {
        candidate.name: Input(
            candidate.price,
            to_datetime(candidate.ts_us).isoformat(),
            round(candidate.age_us / SECOND_US, 3),
            weights.get(candidate.name, 0) / PARTS,
            candidate.name in weights,
            None
            if candidate.name in weights
            else excluded.get(candidate.name) or _why_unused(candidate, deviations),
            candidate.rate,
        )
        for candidate in known
    }
    weighted = [(candidate.price, weights[candidate.name]) for candidate in used]
    price = _price(weighted, method)
    exchanges = tuple(sorted({candidate.exchange for candidate in used}))
    result = Average(
        price,
        max(quantile(weighted, 3, 4) - price, price - quantile(weighted, 1, 4), 0.0),
        method,
        State.OK if len(exchanges) >= MIN_EXCHANGES else State.DEGRADED,
        exchanges,
        inputs,
    )
    return Judgement(result, frozenset(excluded), deviations, names)


def recompute(inputs: Mapping[str, Any], method: Method) -> float:
    """Compute the price of stored ``inputs`` again, by the same or another ``method``.

    Raises ValueError when none of them was used.
    """
    stored = msgspec.convert(inputs, dict[str, Input])
    used = [(entry.price, in_parts(entry.weight)) for entry in stored.values() if entry.used]
    if not used:
        raise ValueError("none of the inputs was used: there is no price")
    return _price(used, method)


def _price(weighted: Sequence[tuple[float, int]], method: Method) -> float:
    if method is Method.MEDIAN:
        return median(weighted)
    ordered = sorted(weighted)
    if method is Method.MEAN:
        ordered = [(price, 1) for price, _ in ordered]
    total = sum(weight for _, weight in ordered)
    mean = sum(price * (weight / total) for price, weight in ordered)
    return min(max(mean, ordered[0][0]), ordered[-1][0])


def _deviation(price: float, other: float) -> float:
    return max(price, other) / min(price, other) - 1


def _largest_group(fresh: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that agree with the one that most trusted candidates agree with."""
    best: list[Candidate] = []
    best_rank: tuple[int, int, float] = (0, 0, 0.0)
    for centre in fresh:
        group = [other for other in fresh if _deviation(centre.price, other.price) <= MAX_DEVIATION]
        rank = (sum(other.is_trusted for other in group), len(group), sum(other.volume for other in group))
        if not best or rank > best_rank:
            best, best_rank = group, rank
    return best


def _deviations(fresh: Sequence[Candidate], group: Sequence[Candidate]) -> dict[str, float]:
    """How far each candidate is from the rest of the group.

    A group of one is compared with the nearest candidate outside, so that both lose trust when they
    disagree; a trusted candidate is compared only with trusted ones.
    """
    deviations = {}
    for candidate in fresh:
        others = [other for other in group if other is not candidate]
        if others:
            weights = _weights(others)
            middle = median([(other.price, weights[other.name]) for other in others])
            deviations[candidate.name] = _deviation(candidate.price, middle)
        elif rivals := [other for other in fresh if other is not candidate and _can_doubt(other, candidate)]:
            deviations[candidate.name] = min(_deviation(candidate.price, other.price) for other in rivals)
    return deviations


def _can_doubt(other: Candidate, candidate: Candidate) -> bool:
    return other.is_trusted or not candidate.is_trusted


def _is_trusted(candidate: Candidate, deviation: float | None) -> bool:
    if deviation is None:
        return candidate.is_trusted
    return deviation <= MAX_DEVIATION if candidate.is_trusted else deviation < MAX_DEVIATION / 2


def _outliers(voters: Sequence[Candidate]) -> dict[str, str]:
    """The names of candidates too far from the median, with the distance as text."""
    if not voters:
        return {}
    weights = _weights(voters)
    middle = median([(voter.price, weights[voter.name]) for voter in voters])
    mad = median([(abs(voter.price - middle), weights[voter.name]) for voter in voters])
    bound = max(OUTLIER_MADS * mad, (THIN_OUTLIER if _is_thin(voters) else OUTLIER) * middle)
    return {
        voter.name: f"{abs(voter.price / middle - 1):.2%} from the median"
        for voter in voters
        if abs(voter.price - middle) > (bound / 2 if voter.was_excluded else bound)
    }


def _is_thin(voters: Sequence[Candidate]) -> bool:
    intervals = sorted(voter.mean_interval_us or 0 for voter in voters)
    exchanges = {voter.exchange for voter in voters}
    return len(exchanges) < MIN_EXCHANGES or intervals[len(intervals) // 2] >= THIN_INTERVAL_US


def _weights(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Each candidate's weight in parts; the markets of one exchange share one limit."""
    least = min((entry.volume for entry in candidates if entry.volume > MIN_VOLUME), default=1.0)
    weights = {
        entry.name: (entry.volume if entry.volume > MIN_VOLUME else least) * _freshness(entry)
        for entry in candidates
    }
    by_exchange: dict[str, float] = {}
    for entry in candidates:
        by_exchange[entry.exchange] = by_exchange.get(entry.exchange, 0.0) + weights[entry.name]
    of_exchange = shares(by_exchange, MAX_WEIGHT)
    return {
        entry.name: in_parts(of_exchange[entry.exchange] * weights[entry.name] / by_exchange[entry.exchange])
        for entry in candidates
    }


def _freshness(candidate: Candidate) -> float:
    """1 up to half of the age limit, then falling to 0 at the limit."""
    return min(1.0, 2 * max(0.0, 1 - candidate.age_us / candidate.age_limit_us))


def _why_unused(candidate: Candidate, deviations: Mapping[str, float]) -> str:
    """Why a candidate that is no outlier was not used."""
    if candidate.age_us >= candidate.age_limit_us:
        limit_s = candidate.age_limit_us / SECOND_US
        return f"silent for {candidate.age_us / SECOND_US:.0f} s, more than {limit_s:.0f} s"
    # A fresh candidate outside the used group was always compared with it.
    return f"{deviations[candidate.name]:.0%} from the others"
