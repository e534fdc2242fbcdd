"""The price of a pair from the last live trades of several exchanges. Pure.

1. A last trade that is too old for its market is left out; from half that age on its weight fades.
2. A market that is over 20 % from the others is left out, and taken back when it is below half of that.
   Where no two agree there is no price.
3. Of the rest, whoever is further from the median than the bound is left out, and taken back when it
   is nearer than half of the bound. The bound is 5 median absolute deviations (MAD), but at least 0.5 %
   of the median, 3 % where the asset is thin: traded on fewer than 3 exchanges, or half of them with
   10 s or more from one trade to the next, so that last trades are of different times.
4. The price is the median weighted by each exchange's volume times the fading, no exchange above 40 %.

"20 % from" is the greater over the smaller, less one. Volumes are in the quote asset: they can be
compared even where a ticker means another coin elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from coinwatch.averaging.weighted_quantiles import PARTS, in_parts, median, quantile, shares
from coinwatch.times import SECOND_US, to_datetime

ENOUGH_EXCHANGES = 3
"""An average of fewer is degraded."""
MOST_WEIGHT = 0.4
"""What one exchange may weigh; with fewer than three it is an even share."""
OLDEST_INTERVALS = 5
LEAST_OLD_US, MOST_OLD_US = 10 * SECOND_US, 180 * SECOND_US
"""A last trade counts for so many times its market's mean interval between trades, within these bounds."""
OUTLIER_MADS = 5.0
OUTLIER, THIN_OUTLIER = 0.005, 0.03
THIN_INTERVAL_US = 10 * SECOND_US
NO_VOLUME = 1e-9
"""A volume that is not above this is none that was measured."""
ASTRAY = 0.20
"""Two prices further apart than this do not agree."""


class Method(StrEnum):
    """How prices become one. The constituents and their weights are the same for all."""

    MEDIAN = "median"
    MEAN = "mean"
    VWAP = "vwap"


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """Of fewer than three exchanges."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one market."""

    name: str
    """The exchange; ``exchange:QUOTE`` where the price was converted from another quote asset."""
    price: float
    ts_us: int
    """The trade's time, by the exchange's clock."""
    age_us: int
    """Since it arrived, by our clock."""
    mean_interval_us: int | None
    """From one trade to the next; None: not known yet, then the shortest age limit holds."""
    volume: float
    """Of 24 hours, in the quote asset; 0: unknown, then it weighs as the least of the others."""
    was_excluded: bool = False
    """As an outlier, the last time."""
    is_trusted: bool = True
    """False: it was over 20 % from the others, and not near them since."""
    rate: float | None = None
    """By what ``price`` was converted."""

    @property
    def exchange(self) -> str:
        return self.name.partition(":")[0]

    @property
    def oldest_us(self) -> int:
        """The age at which it is left out."""
        return min(max(OLDEST_INTERVALS * (self.mean_interval_us or 0), LEAST_OLD_US), MOST_OLD_US)


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One market of an average, as it is stored."""

    price: float
    ts: str
    """ISO 8601, UTC."""
    age_s: float
    weight: float
    """Its share; 0 where it was not used."""
    used: bool
    why: str | None
    """Why it was not used."""
    rate: float | None = None


class Average(msgspec.Struct, frozen=True):
    price: float
    confidence: float
    """The distance from the price to the further of the weighted quartiles."""
    method: Method
    state: State
    exchanges: tuple[str, ...]
    """Those used, by name."""
    inputs: dict[str, Input]


class Judgement(msgspec.Struct, frozen=True):
    """An average and what it takes to judge the next one."""

    average: Average | None
    """None: nothing is fresh and trusted, or no two agree."""
    excluded: frozenset[str]
    """Left out as outliers."""
    deviations: dict[str, float]
    """How far each fresh market is from the others; those that had others to compare with."""
    trusted: frozenset[str]
    """The fresh markets that are not too far from the others."""


def average(candidates: Iterable[Candidate], method: Method = Method.MEDIAN) -> Judgement:
    """The average of ``candidates``, whose names differ. Their order does not matter."""
    known = sorted(candidates, key=lambda one: one.name)
    fresh = [one for one in known if one.age_us < one.oldest_us]
    group = _largest_group(fresh)
    deviations = _deviations(fresh, group)
    trusted = [one for one in fresh if _is_trusted(one, deviations.get(one.name))]
    in_group = {one.name for one in group}
    voters = [one for one in trusted if one.name in in_group]
    excluded = _outliers(voters)
    used = [one for one in voters if one.name not in excluded]
    weights = _weights(used)
    names = frozenset(one.name for one in trusted)
    if not used:
        return Judgement(None, frozenset(excluded), deviations, names)
    inputs = {
        one.name: Input(
            one.price,
            to_datetime(one.ts_us).isoformat(),
            round(one.age_us / SECOND_US, 3),
            weights.get(one.name, 0) / PARTS,
            one.name in weights,
            excluded.get(one.name) or _why_not(one, one.name in weights, deviations.get(one.name)),
            one.rate,
        )
        for one in known
    }
    weighted = [(one.price, weights[one.name]) for one in used]
    price = _price(weighted, method)
    exchanges = tuple(sorted({one.exchange for one in used}))
    made = Average(
        price,
        max(quantile(weighted, 3, 4) - price, price - quantile(weighted, 1, 4), 0.0),
        method,
        State.OK if len(exchanges) >= ENOUGH_EXCHANGES else State.DEGRADED,
        exchanges,
        inputs,
    )
    return Judgement(made, frozenset(excluded), deviations, names)


def recompute(inputs: Mapping[str, Any], method: Method) -> float:
    """The price again from the ``inputs`` of a stored row, or what another ``method`` would have made.

    Raises ValueError when none of them was used.
    """
    stored = msgspec.convert(inputs, dict[str, Input])
    used = [(one.price, in_parts(one.weight)) for one in stored.values() if one.used]
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


def _apart(one: float, other: float) -> float:
    return max(one, other) / min(one, other) - 1


def _largest_group(fresh: Sequence[Candidate]) -> list[Candidate]:
    """Those who agree with the one whom most trusted ones agree with."""
    best: list[Candidate] = []
    best_rank: tuple[int, int, float] = (0, 0, 0.0)
    for one in fresh:
        group = [other for other in fresh if _apart(one.price, other.price) <= ASTRAY]
        rank = (sum(other.is_trusted for other in group), len(group), sum(other.volume for other in group))
        if not best or rank > best_rank:
            best, best_rank = group, rank
    return best


def _deviations(fresh: Sequence[Candidate], group: Sequence[Candidate]) -> dict[str, float]:
    """How far each is from the rest of the group.

    Who is the group alone is compared with the nearest other, so that both are doubted when they
    disagree; but a trusted one only with others that are trusted.
    """
    found = {}
    for one in fresh:
        others = [other for other in group if other is not one]
        if others:
            weights = _weights(others)
            middle = median([(other.price, weights[other.name]) for other in others])
            found[one.name] = _apart(one.price, middle)
        elif rivals := [other for other in fresh if other is not one and _matters(other, one)]:
            found[one.name] = min(_apart(one.price, other.price) for other in rivals)
    return found


def _matters(other: Candidate, to: Candidate) -> bool:
    return other.is_trusted or not to.is_trusted


def _is_trusted(one: Candidate, deviation: float | None) -> bool:
    if deviation is None:
        return one.is_trusted
    return deviation <= ASTRAY if one.is_trusted else deviation < ASTRAY / 2


def _outliers(voters: Sequence[Candidate]) -> dict[str, str]:
    """Those too far from the median of all, and by how much, in words."""
    if not voters:
        return {}
    weights = _weights(voters)
    middle = median([(one.price, weights[one.name]) for one in voters])
    mad = median([(abs(one.price - middle), weights[one.name]) for one in voters])
    bound = max(OUTLIER_MADS * mad, (THIN_OUTLIER if _is_thin(voters) else OUTLIER) * middle)
    return {
        one.name: f"{abs(one.price / middle - 1):.2%} from the median"
        for one in voters
        if abs(one.price - middle) > (bound / 2 if one.was_excluded else bound)
    }


def _is_thin(voters: Sequence[Candidate]) -> bool:
    intervals = sorted(one.mean_interval_us or 0 for one in voters)
    exchanges = {one.exchange for one in voters}
    return len(exchanges) < ENOUGH_EXCHANGES or intervals[len(intervals) // 2] >= THIN_INTERVAL_US


def _weights(candidates: Sequence[Candidate]) -> dict[str, int]:
    """What each weighs, in parts: an exchange that is there with several markets has one limit for all."""
    least = min((one.volume for one in candidates if one.volume > NO_VOLUME), default=1.0)
    weights = {
        one.name: (one.volume if one.volume > NO_VOLUME else least) * _fading(one) for one in candidates
    }
    by_exchange: dict[str, float] = {}
    for one in candidates:
        by_exchange[one.exchange] = by_exchange.get(one.exchange, 0.0) + weights[one.name]
    of_exchange = shares(by_exchange, MOST_WEIGHT)
    return {
        one.name: in_parts(of_exchange[one.exchange] * weights[one.name] / by_exchange[one.exchange])
        for one in candidates
    }


def _fading(one: Candidate) -> float:
    """1 up to half of the oldest age, from there down to 0 at it."""
    return min(1.0, 2 * max(0.0, 1 - one.age_us / one.oldest_us))


def _why_not(one: Candidate, is_used: bool, deviation: float | None) -> str | None:
    if is_used:
        return None
    if one.age_us >= one.oldest_us:
        return f"silent for {one.age_us / SECOND_US:.0f} s, more than {one.oldest_us / SECOND_US:.0f} s"
    if deviation is None:
        return f"was over {ASTRAY:.0%} from the others when they were last heard"
    return f"{deviation:.0%} from the others"
